"""The startup script of a VPCS (M-7, M-8, M-11, B-8, B-18)."""

import codecs
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from labplane import Conflict, TooLarge
from labplane_vpcs import script

MOST = 1 << 20


def test_percent_h_becomes_the_name_everywhere(tmp_path: Path) -> None:
    script.write(tmp_path, "set pcname %h\necho %h%h", "PC1", MOST)
    assert script.read(tmp_path, MOST) == "set pcname PC1\necho PC1PC1"


@given(
    text=st.text(st.characters(exclude_categories=["Cs"])).filter(
        lambda text: "%h" not in text and text[:1] != "\ufeff"
    )
)
def test_any_text_comes_back_as_it_was_written(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("vm")
    script.write(directory, text, "PC1", MOST)
    assert script.read(directory, MOST) == text
    assert (directory / script.NAME).read_bytes() == text.encode()


def test_none_removes_the_script_and_does_so_twice(tmp_path: Path) -> None:
    script.write(tmp_path, "x", "PC1", MOST)
    script.write(tmp_path, None, "PC1", MOST)
    script.write(tmp_path, None, "PC1", MOST)
    assert script.read(tmp_path, MOST) is None
    assert list(tmp_path.iterdir()) == []


def test_undecodable_bytes_are_replaced_for_display_and_kept_on_disk(tmp_path: Path) -> None:
    (tmp_path / script.NAME).write_bytes(b"echo \xff old\r\n")
    assert script.read(tmp_path, MOST) == "echo \N{REPLACEMENT CHARACTER} old\r\n"
    script.rename(tmp_path, "old", "new", MOST)
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
    script.write(tmp_path, before, "unused", MOST)
    script.rename(tmp_path, old, new, MOST)
    assert script.read(tmp_path, MOST) == after


def test_a_rename_makes_no_script_where_there_is_none(tmp_path: Path) -> None:
    script.rename(tmp_path, "a", "b", MOST)
    assert list(tmp_path.iterdir()) == []


def test_a_script_that_cannot_be_put_in_place_leaves_the_old_one_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / script.NAME).mkdir()
    for text in ("x", None):
        with pytest.raises(
            Conflict, match=r"There is a directory startup\.vpc where the startup script belongs; remove"
        ):
            script.write(tmp_path, text, "PC1", MOST)
    assert [path.name for path in tmp_path.iterdir()] == [script.NAME]


@pytest.mark.parametrize(
    ("text", "name", "size"),
    [
        ("x" * 11, "PC", 11),
        ("%h" * 5, "PC1", 15),
        ("é" * 6, "PC", 12),
        ("%h%h", "ééé", 12),
        ("%h" * 150_000, "x" * 255, 38_250_000),
    ],
)
def test_a_script_that_is_too_long_once_the_names_are_in_it_is_refused(
    text: str, name: str, size: int, tmp_path: Path
) -> None:
    """Before it is made: the long form is never in memory, and the old script stays."""
    script.write(tmp_path, "old", "PC", 10)
    with pytest.raises(TooLarge, match=f"has {size} bytes with the name for each %h; at most 10 are taken"):
        script.write(tmp_path, text, name, 10)
    assert (tmp_path / script.NAME).read_bytes() == b"old"


def test_a_script_of_just_that_length_is_taken(tmp_path: Path) -> None:
    script.write(tmp_path, "%h%h", "é" * 2, 8)
    assert script.read(tmp_path, 8) == "é" * 4
    assert script.make_ready(tmp_path, 8) == "é" * 4


def test_a_file_that_is_too_long_is_there_and_neither_shown_nor_run_nor_renamed_in(tmp_path: Path) -> None:
    with (tmp_path / script.NAME).open("wb") as file:
        file.truncate(1 << 40)  # which nobody can read in time
    assert script.exists(tmp_path)
    assert script.read(tmp_path, MOST) is None
    with pytest.raises(Conflict, match=r"startup\.vpc is longer than 1048576 bytes; shorten or remove it"):
        script.make_ready(tmp_path, MOST)
    with pytest.raises(Conflict, match="is longer than"):
        script.rename(tmp_path, "a", "b", MOST)
    assert (tmp_path / script.NAME).stat().st_size == 1 << 40


def test_a_name_that_makes_the_script_too_long_is_refused(tmp_path: Path) -> None:
    script.write(tmp_path, "a a a", "x", 10)
    with pytest.raises(Conflict, match="With the new name the startup script would be longer than 10 bytes"):
        script.rename(tmp_path, "a", "abc", 10)
    assert script.read(tmp_path, 10) == "a a a"
    script.rename(tmp_path, "a", "ab", 10)
    assert script.read(tmp_path, 10) == "ab ab ab"


@pytest.mark.parametrize("what", ["directory", "pipe", "link", "dangling link"])
def test_what_is_no_file_is_no_script(what: str, tmp_path: Path) -> None:
    place = tmp_path / script.NAME
    match what:
        case "directory":
            place.mkdir()
        case "pipe":
            os.mkfifo(place)
        case "link":
            place.symlink_to("/etc/hostname")
        case _:
            place.symlink_to("nowhere")
    assert not script.exists(tmp_path)
    assert script.read(tmp_path, MOST) is None
    assert script.make_ready(tmp_path, MOST) is None


def test_a_byte_order_mark_never_reaches_vpcs(tmp_path: Path) -> None:
    """Neither that of a request nor that of a file which an editor wrote."""
    place = tmp_path / script.NAME
    script.write(tmp_path, "\ufeffset pcname %h", "PC", MOST)
    assert place.read_bytes() == b"set pcname PC"
    place.write_bytes(codecs.BOM_UTF8 + b"set pcname PC\xff\r\n")
    assert script.read(tmp_path, MOST) == "set pcname PC\N{REPLACEMENT CHARACTER}\r\n"
    assert place.read_bytes()[:3] == codecs.BOM_UTF8, "reading changes nothing"
    assert script.make_ready(tmp_path, MOST) == "set pcname PC\N{REPLACEMENT CHARACTER}\r\n"
    assert place.read_bytes() == b"set pcname PC\xff\r\n"


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-32-le"])
def test_a_script_in_utf_16_is_named_as_such(encoding: str, tmp_path: Path) -> None:
    (tmp_path / script.NAME).write_bytes("\ufeffset pcname A".encode(encoding))
    with pytest.raises(Conflict, match="is UTF-16, which VPCS cannot read; write it in UTF-8"):
        script.make_ready(tmp_path, MOST)
