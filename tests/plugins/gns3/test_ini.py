"""INI files: which value counts, and sentences for what is wrong in them."""

from pathlib import Path

import pytest

from labplane.settings import SettingsError
from labplane_gns3.ini import Ini


def ini(directory: Path, *texts: str | bytes) -> Ini:
    """One file for each text, one.conf, two.conf."""
    paths = [directory / f"{name}.conf" for name in ("one", "two")[: len(texts)]]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Ini(paths)


def test_the_later_file_wins_key_by_key_and_empty_values_do_not_count(tmp_path: Path) -> None:
    found = ini(tmp_path, "[A]\nx = 1\ny = 2\nz = 3\n", "[A]\nX: 4 \ny =\n[B]\nx = 5\n")
    assert [found.text("A", key) for key in ("x", "y", "z")] == ["4", "2", "3"]
    assert (found.text("B", "x"), found.text("B", "y"), found.text("C", "x")) == ("5", None, None)
    assert found.place("A", "x") == f"{tmp_path}/two.conf: [A] x"
    assert found.place("A", "y") == f"{tmp_path}/one.conf: [A] y"


def test_what_nobody_asked_for_is_known(tmp_path: Path) -> None:
    found = ini(tmp_path, "[A]\nx = 1\ny = 2\n[B]\nx = 3\n")
    found.text("A", "x")
    assert found.unused() == [f"{tmp_path}/one.conf: [A] y", f"{tmp_path}/one.conf: [B] x"]


def test_values_are_taken_as_they_stand(tmp_path: Path) -> None:
    """A password may hold anything, a file begin with a mark of its byte order."""
    found = ini(tmp_path, "\ufeff; made by hand\n[A]\npassword = %(x)s%${y} = ü\n")
    assert found.text("A", "password") == "%(x)s%${y} = ü"


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("yes", True), ("1", True), ("False", False), ("off", False)]
)
def test_flags_have_many_words(tmp_path: Path, text: str, value: bool) -> None:
    assert ini(tmp_path, f"[A]\nx = {text}\n").flag("A", "x") is value


@pytest.mark.parametrize("text", ["maybe", "2", "None"])
def test_another_word_is_no_flag(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"one\.conf: \[A\] x: '{text}' is neither True nor False"):
        ini(tmp_path, f"[A]\nx = {text}\n").flag("A", "x")


def test_ports_have_bounds(tmp_path: Path) -> None:
    found = ini(tmp_path, "[A]\nnone = 0\nlowest = 1\nhighest = 65535\n")
    assert (found.port("A", "lowest"), found.port("A", "highest"), found.port("A", "none", lowest=0)) == (1, 65535, 0)
    assert found.port("A", "absent") is None


@pytest.mark.parametrize("text", ["0", "65536", "9" * 5000, "-1", "1.0", "x", "٤", "0x10", "1 ; one"])
def test_another_number_is_no_port(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"one\.conf: \[A\] x: '.{1,60}' is no port from 1 to 65535$"):
        ini(tmp_path, f"[A]\nx = {text}\n").port("A", "x")


@pytest.mark.parametrize(
    "text",
    [
        "host = 127.0.0.1\n",
        "[A]\nx = 1\nx = 2\n",
        "[A]\n[A]\n",
        "[A]\n= secret\n",
        "[A]\nsecret\n",
        "secret\n",
        b"[A]\nx = \xff\n",
        b"\x00\x01",
    ],
)
def test_a_file_that_is_none_is_one_sentence_that_tells_no_secrets(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(SettingsError, match=r"^\S+one\.conf is not an INI file: .+$") as error:
        ini(tmp_path, text)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.conf cannot be read: No such file or directory$"):
        Ini([tmp_path / "absent.conf"])
    with pytest.raises(SettingsError, match=r"cannot be read: Is a directory$"):
        Ini([tmp_path])
