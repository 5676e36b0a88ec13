"""The startup script of a VPCS (M-7, M-8, M-11, B-8, B-18)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labplane_vpcs import script


def test_percent_h_becomes_the_name_everywhere(tmp_path: Path) -> None:
    script.write(tmp_path, "set pcname %h\necho %h%h", "PC1")
    assert script.read(tmp_path) == "set pcname PC1\necho PC1PC1"


@given(text=st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "%h" not in text))
def test_any_text_comes_back_as_it_was_written(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("vm")
    script.write(directory, text, "PC1")
    assert script.read(directory) == text
    assert (directory / script.NAME).read_bytes() == text.encode()


def test_none_removes_the_script_and_does_so_twice(tmp_path: Path) -> None:
    script.write(tmp_path, "x", "PC1")
    script.write(tmp_path, None, "PC1")
    script.write(tmp_path, None, "PC1")
    assert script.read(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_undecodable_bytes_are_replaced_for_display_and_kept_on_disk(tmp_path: Path) -> None:
    (tmp_path / script.NAME).write_bytes(b"echo \xff old\r\n")
    assert script.read(tmp_path) == "echo \N{REPLACEMENT CHARACTER} old\r\n"
    script.rename(tmp_path, "old", "new")
    assert (tmp_path / script.NAME).read_bytes() == b"echo \xff new\r\n"


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        ("set pcname PC1", "PC1", "PC2", "set pcname PC2"),
        ("ip 192.168.1.1", "1", "2", "ip 192.168.1.1"),
        ("echo PC1-a a-PC1 PC1/x x:PC1 PC1", "PC1", "R", "echo PC1-a a-PC1 PC1/x x:PC1 R"),
        ("echo PC10 xPC1 _PC1 PC1.", "PC1", "R", "echo PC10 xPC1 _PC1 PC1."),
        ("echo a.c abc", "a.c", "x", "echo x abc"),
        ("echo a", "a", r"\1\g<0>", r"echo \1\g<0>"),
        ("PC1\r\nPC1\r\n", "PC1", "PC 2", "PC 2\r\nPC 2\r\n"),
    ],
)
def test_a_rename_replaces_whole_words_only(tmp_path: Path, before: str, old: str, new: str, after: str) -> None:
    script.write(tmp_path, before, "unused")
    script.rename(tmp_path, old, new)
    assert script.read(tmp_path) == after


def test_a_rename_makes_no_script_where_there_is_none(tmp_path: Path) -> None:
    script.rename(tmp_path, "a", "b")
    assert list(tmp_path.iterdir()) == []


def test_a_script_that_cannot_be_put_in_place_leaves_the_old_one_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / script.NAME).mkdir()
    with pytest.raises(OSError, match="directory"):
        script.write(tmp_path, "x", "PC1")
    assert [path.name for path in tmp_path.iterdir()] == [script.NAME]
