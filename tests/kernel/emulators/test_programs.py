"""Finding a program, and what the kernel executes to run it."""

import struct
import sys
from pathlib import Path

import pytest

from labplane import Unavailable, find_program
from labplane.emulators import programs
from labplane.emulators.elf import PT_INTERP
from labplane.emulators.programs import closure, support


def test_the_loader_of_a_program_is_found() -> None:
    found = closure(Path(sys.executable).resolve())
    assert len(found) == 2
    assert "ld" in found[1].name
    assert found[1].exists()


def elf(wide: bool, order: str, interpreter: bytes | None) -> bytes:
    """The beginning of an ELF file: its header and two program headers."""
    word = "Q" if wide else "I"
    size, table = (56, 64) if wide else (32, 52)
    at = table + 2 * size
    head = bytearray(table)
    head[:6] = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2])
    struct.pack_into(order + word, head, 32 if wide else 28, table)
    struct.pack_into(order + "HH", head, 54 if wide else 42, size, 2)
    other, entry = bytearray(size), bytearray(size)
    struct.pack_into(order + "I", other, 0, 1)
    if interpreter is not None:
        struct.pack_into(order + "I", entry, 0, PT_INTERP)
        struct.pack_into(order + word, entry, 8 if wide else 4, at)
        struct.pack_into(order + word, entry, 32 if wide else 16, len(interpreter))
    return bytes(head + other + entry) + (interpreter or b"")


@pytest.mark.parametrize("wide", [True, False], ids=["64 bit", "32 bit"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
def test_the_loader_is_found_in_every_sort_of_elf(wide: bool, order: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(elf(wide, order, b"/lib/ld.so.1\0"))
    assert closure(program) == [program, Path("/lib/ld.so.1")]
    program.write_bytes(elf(wide, order, None))
    assert closure(program) == [program], "statically linked"


def test_an_empty_file_needs_nothing(tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(b"")
    assert closure(tmp_path / "script") == [tmp_path / "script"]


@pytest.mark.parametrize("first", ["#!/bin/sh", "#! /bin/sh -e", "#!/usr/bin/env sh", "#!/usr/bin/env -S A=1 sh -e"])
def test_a_script_needs_its_interpreter_and_the_loader_of_that(first: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(f"{first}\n")
    shell = Path("/bin/sh").resolve()
    assert set(closure(shell)) < set(closure(tmp_path / "script"))


def test_a_script_that_interprets_itself_is_no_endless_loop(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{script}\n")
    script.chmod(0o755)
    assert closure(script) == [script]


@pytest.mark.parametrize(
    ("program", "directories"),
    [
        ("/usr/bin/vpcs", ["/usr"]),
        ("/opt/dynamips/sbin/x", ["/opt/dynamips"]),
        ("/srv/vpcs/vpcs", ["/srv/vpcs"]),
        ("/bin/sh", ["/usr"] if Path("/bin").is_symlink() else ["/lib", "/lib64"]),
        ("/usr/bin/../../../vpcs", []),
        ("/vpcs", []),
        ("/home/ann/bin/vpcs", ["/home/ann/lib", "/home/ann/lib64"]),
        ("/home/ann/.local/bin/vpcs", ["/home/ann/.local/lib", "/home/ann/.local/lib64"]),
        ("/home/ann/vpcs", []),
        ("/home/ann/vpcs-0.8/bin/vpcs", ["/home/ann/vpcs-0.8"]),
        ("{home}/bin/vpcs", ["{home}/lib", "{home}/lib64"]),
        ("{home}/.local/bin/vpcs", ["{home}/.local/lib", "{home}/.local/lib64"]),
        ("{home}/vpcs", []),
    ],
)
def test_a_program_is_at_home_where_its_files_are_and_nobody_elses(
    program: str, directories: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_libraries", lambda _: ())  # they are asked of a file, and here is none
    monkeypatch.setenv("HOME", "/srv/users/ben")
    assert support([Path(program.format(home="/srv/users/ben"))]) == [
        Path(directory.format(home="/srv/users/ben")) for directory in directories
    ]


def test_a_program_is_found_on_the_path_or_by_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    mine.write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"The program 'mine' is not on the server's PATH. Install it."):
        find_program("mine", "Install it.")
    with pytest.raises(Unavailable, match=f"The program '{mine}' is not executable. Install it."):
        find_program(str(mine), "Install it.")
    with pytest.raises(Unavailable, match=r"The program '/no/such' was not found. Install it."):
        find_program("/no/such", "Install it.")
    mine.chmod(0o755)
    (tmp_path / "link").symlink_to(mine)
    assert find_program("mine", "") == find_program(str(mine), "") == find_program("link", "") == mine
