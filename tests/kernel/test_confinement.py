"""A confined process can execute nothing but itself (B-15)."""

import asyncio
import ctypes
import shutil
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from labplane import confinement
from labplane.confinement import available, only_execute, with_loader
from labplane.processes import Terminals

SH = Path("/bin/sh").resolve()


def printed(tmp_path: Path, script: str, *, confined: bool) -> str:
    """What a shell prints that was started confined or not."""
    output: list[bytes] = []

    async def main() -> None:
        process = await Terminals().spawn(
            [str(SH), "-c", script], cwd=tmp_path, on_output=output.append, on_exit=lambda _: None, confined=confined
        )
        await process.wait()

    asyncio.run(main())
    return b"".join(output).decode()


def test_this_machine_has_landlock() -> None:
    """Or the tests below would prove nothing."""
    assert available()
    assert Terminals().can_confine


through_the_loader = pytest.param(
    f"{with_loader(SH)[1]} /bin/cat",
    marks=pytest.mark.xfail(reason="Landlock must let the loader be executed, and the loader runs what it is told"),
)


@pytest.mark.parametrize("program", ["/bin/cat", "/usr/bin/env true", "./copy -c :", through_the_loader])
def test_a_confined_process_cannot_execute_another_program(program: str, tmp_path: Path) -> None:
    shutil.copy(SH, tmp_path / "copy")
    script = f"echo begun; {program} </dev/null && echo executed; echo over"
    assert "executed" in printed(tmp_path, script, confined=False)
    confined = printed(tmp_path, script, confined=True)
    assert "executed" not in confined
    assert "denied" in confined
    assert "over" in confined, "it goes on all the same"


def test_a_confined_process_reads_and_writes_as_before(tmp_path: Path) -> None:
    assert printed(tmp_path, "echo kept > file; read line < file; echo $line", confined=True) == "kept\r\n"


def test_the_server_itself_is_not_confined_by_the_confinement_of_a_process(tmp_path: Path) -> None:
    printed(tmp_path, "true", confined=True)
    assert "hello" in printed(tmp_path, "/bin/echo hello", confined=False)


def test_where_landlock_is_missing_the_process_runs_unconfined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "available", lambda: False)
    assert not Terminals().can_confine
    assert "hello" in printed(tmp_path, "/bin/echo hello", confined=True)


def test_an_old_kernel_has_no_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def syscall(self, *_: object) -> int:
            ctypes.set_errno(38)
            return -1

    monkeypatch.setattr(confinement, "_libc", Old())
    assert not available.__wrapped__()
    with pytest.raises(OSError, match="Function not implemented"):
        only_execute([SH])


def in_a_thread(function: Any, *arguments: Any) -> BaseException | None:
    """What `function` raises in a thread of its own, which keeps what it gives up to itself."""
    raised: list[BaseException] = []

    def called() -> None:
        try:
            function(*arguments)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=called)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_a_program_that_does_not_exist_is_an_error() -> None:
    assert isinstance(in_a_thread(only_execute, [Path("/no/such/program")]), FileNotFoundError)


def test_the_loader_of_a_program_is_found() -> None:
    found = with_loader(Path(sys.executable).resolve())
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
        struct.pack_into(order + "I", entry, 0, confinement.PT_INTERP)
        struct.pack_into(order + word, entry, 8 if wide else 4, at)
        struct.pack_into(order + word, entry, 32 if wide else 16, len(interpreter))
    return bytes(head + other + entry) + (interpreter or b"")


@pytest.mark.parametrize("wide", [True, False], ids=["64 bit", "32 bit"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
def test_the_loader_is_found_in_every_sort_of_elf(wide: bool, order: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(elf(wide, order, b"/lib/ld.so.1\0"))
    assert with_loader(program) == [program, Path("/lib/ld.so.1")]
    program.write_bytes(elf(wide, order, None))
    assert with_loader(program) == [program], "statically linked"


def test_a_script_has_no_loader(tmp_path: Path) -> None:
    for content in (b"#!/bin/sh\n", b""):
        (tmp_path / "script").write_bytes(content)
        assert with_loader(tmp_path / "script") == [tmp_path / "script"]
