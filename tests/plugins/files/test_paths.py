"""Names of files as text, and a link that is swapped in between look and use (F-4, F-5)."""

import os
import posixpath
import threading
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from labplane import Forbidden, LabError
from labplane_files.paths import Draft, contained, files_below, open_file

part = st.sampled_from(["a", "b", ".", "..", "", "/", ".a", "a.", "...", "\\", "\0", "\n", ".labplane-x", "ü"])


@given(st.lists(part, max_size=8))
def test_whatever_is_taken_stays_inside(parts: list[str]) -> None:
    path = "/".join(parts)
    try:
        short = contained(path)
    except Forbidden:
        return
    assert posixpath.normpath(posixpath.join("/project", short)).startswith("/project/")
    assert contained(short) == short
    assert not short.startswith(".")
    assert not set(short) & set("\\\0\n")


@pytest.mark.parametrize("use", ["read", "write"])
def test_a_link_that_is_swapped_in_leads_nowhere(tmp_path: Path, use: str) -> None:
    """F-5: a directory becomes a link out of the project, and a directory again, all the time."""
    root, outside = tmp_path / "project", tmp_path / "outside"
    for folder, text in ((root / "a", "inside"), (outside, "outside")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(text)
    (root / "link").symlink_to(outside)
    done = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not done.is_set():
            (root / "a").rename(root / "b")
            (root / "link").rename(root / "a")
            (root / "a").rename(root / "link")
            (root / "b").rename(root / "a")
            swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    used = 0
    try:
        while used < 500 or swaps < 500:
            try:
                if use == "read":
                    with open_file(root, "a/file") as file:
                        assert file.read() == b"inside"
                else:
                    draft = Draft(root, "a/file")
                    draft.file.write(b"inside")
                    draft.keep()
                    draft.close()
            except LabError:
                continue
            finally:
                used += 1
    finally:
        done.set()
        thread.join()
    assert (outside / "file").read_text() == "outside"
    assert os.listdir(outside) == ["file"]


def test_a_draft_that_is_not_kept_is_gone_and_was_never_listed(tmp_path: Path) -> None:
    """F-3."""
    draft = Draft(tmp_path, "new")
    draft.file.write(b"half")
    assert len(os.listdir(tmp_path)) == 1
    left_out: list[str] = []
    assert (list(files_below(tmp_path, left_out.append)), left_out) == ([], [])
    draft.close()
    assert os.listdir(tmp_path) == []
