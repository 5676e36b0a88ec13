"""Which keys a terminal keeps to itself: on a machine's none but Ctrl+C and Backspace (B-30)."""

import os
import pty
import signal
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from children import SH, child
from labplane import ProcessDriver
from labplane.emulators.keys import KEYS, act_only_on

MACHINE = ProcessDriver.keys
SHELL = (*ProcessDriver.keys, "eof", "kill", "werase", "susp", "quit")

# Without Ctrl+C, and those that are an end of line in a program that reads lines: Ctrl+J, Ctrl+M.
OTHERS = [bytes([code]) for code in range(1, 32) if code not in (3, 10, 13)]


@pytest.fixture
def terminal() -> Iterator[int]:
    """A new pty's slave side."""
    master, slave = pty.openpty()
    yield slave
    os.close(master)
    os.close(slave)


def test_every_other_control_character_reaches_a_program_that_reads_lines(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        async with child(tmp_path, SH, "-c", "stty -echo; echo up; exec cat", keys=MACHINE) as one:
            await one.until(b"up\r\n")
            for key in OTHERS:
                one.process.write(b"a" + key + b"b\r")
                await one.until(b"a" + key + b"b\r\n")

    run(main())


def test_every_other_control_character_reaches_a_program_that_reads_keys(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    """As VPCS does at its prompt: it changes the modes that it found and leaves the keys alone."""

    async def main() -> None:
        script = "stty -icanon -echo min 1 time 0; echo up; exec od -An -v -tx1 -w1"
        async with child(tmp_path, SH, "-c", script, keys=MACHINE) as one:
            await one.until(b"up\r\n")
            one.process.write(b"".join(OTHERS) + b"\x7f")
            await one.until(b"".join(b" %02x\r\n" % key for key in [*b"".join(OTHERS), 0x7F]))

    run(main())


@pytest.mark.parametrize("byte", [b"\0", b"\x80", b"\xff", "é".encode()])
def test_a_byte_that_is_no_key_reaches_it_as_it_is(byte: bytes, tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with child(tmp_path, SH, "-c", "stty -echo; echo up; exec cat", keys=MACHINE) as one:
            await one.until(b"up\r\n")
            one.process.write(b"a" + byte + b"b\r")
            await one.until(b"a" + byte + b"b\r\n")

    run(main())


def test_ctrl_c_interrupts_and_backspace_edits_an_unfinished_line(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with child(tmp_path, SH, "-c", "stty -echo; echo up; exec cat", keys=MACHINE) as one:
            await one.until(b"up\r\n")
            one.process.write(b"twice\x7f\x7f\x7f\x7f\x7fonce\r")
            await one.until(b"once\r\n")
            assert b"twice" not in one.output
            one.process.write(b"\x03")
            assert await one.wait() == -signal.SIGINT

    run(main())


@pytest.mark.parametrize("key", [b"\x1c", b"\x1a", b"\x13", b"\x04"], ids=["quit", "susp", "stop", "eof"])
def test_a_key_that_a_shell_heeds_neither_ends_nor_stops_a_machine(
    key: bytes, tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        async with child(tmp_path, SH, "-c", "stty -echo; echo up; exec cat", keys=MACHINE) as one:
            await one.until(b"up\r\n")
            one.process.write(key + b"\rgoes on\r")
            await one.until(key + b"\r\ngoes on\r\n")

    run(main())


def test_a_driver_of_a_shell_gets_the_keys_that_it_asks_for(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with child(tmp_path, "/bin/cat", keys=SHELL) as one:
            one.process.write(b"gone\x15kept\r")  # Ctrl+U
            await one.until(b"kept\r\nkept\r\n")
            one.process.write(b"two words\x17one\r")  # Ctrl+W
            await one.until(b"two one\r\n")
            one.process.write(b"\x04")
            assert await one.wait() == 0
        async with child(tmp_path, "/bin/cat", keys=SHELL) as one:
            one.process.write(b"\x1c")
            assert await one.wait() == -signal.SIGQUIT

    run(main())


def test_flow_is_controlled_for_a_driver_that_asks_for_it(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with child(tmp_path, SH, "-c", "stty -echo; echo up; exec cat", keys=("stop", "start")) as one:
            await one.until(b"up\r\n")
            one.process.write(b"one\r\x13two\r")
            one.process.write(b"\x11three\r")
            await one.until(b"one\r\ntwo\r\nthree\r\n")
            assert b"\x13" not in one.output

    run(main())


def test_a_key_that_no_terminal_has_is_refused_before_anything_is_started(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="'ctrl-c' is no key of a terminal; there are intr, quit"):
            async with child(tmp_path, "/bin/cat", keys=["ctrl-c"]):
                pass

    run(main())


def test_the_terminal_of_a_program_that_asks_for_nothing_acts_on_nothing(terminal: int) -> None:
    act_only_on((), terminal)
    modes = termios.tcgetattr(terminal)
    assert [modes[6][index] for index in KEYS.values()] == [b"\0"] * len(KEYS)
    assert modes[0] == termios.ICRNL


def test_a_raw_terminal_adds_nothing_to_lines_also_when_its_program_has_output_processed(
    tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    """As QEMU does with its standard output."""

    async def main() -> None:
        async with child(tmp_path, SH, "-c", r"stty opost; printf 'one\r\ntwo\r\n'; exec cat", raw=True) as one:
            await one.until(b"two\r\n")
            assert one.output == b"one\r\ntwo\r\n"

    run(main())
