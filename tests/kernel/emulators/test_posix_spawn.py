"""Starting a program through libc: what it finds, and how errors come back."""

import os
import pty
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labplane.emulators.posix_spawn import spawn


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    yield descriptor
    os.close(descriptor)


def output_of(tmp_path: Path, script: str, environment: dict[str, str] | None = None) -> str:
    """What a shell that runs `script` prints on its terminal."""
    master, slave = pty.openpty()
    try:
        with opened(tmp_path) as directory:
            command = ["/bin/sh", "-c", script]
            pid = spawn(command, environment or {}, directory=directory, terminal=os.ttyname(slave))
    finally:
        os.close(slave)
    printed = b""
    try:
        while data := os.read(master, 4096):
            printed += data
    except OSError:  # EIO: the last process that had the terminal is gone
        pass
    os.close(master)
    os.waitpid(pid, 0)
    return printed.decode().replace("\r\n", "\n").strip()


def test_a_program_runs_in_its_directory_with_just_its_environment(tmp_path: Path) -> None:
    directory = tmp_path / "with a space é"
    directory.mkdir()
    seen = output_of(directory, "pwd; /usr/bin/env | grep -v -e ^PWD -e ^_ -e ^SHLVL -e ^OLDPWD", {"A": "b c=d"})
    assert seen.splitlines() == [str(directory), "A=b c=d"]


def test_the_terminal_is_stdin_stdout_stderr_and_the_controlling_one(tmp_path: Path) -> None:
    seen = output_of(tmp_path, "test -t 0 && test -t 1 && test -t 2 && echo yes >/dev/tty; ps -o pid=,sid= -p $$")
    first, numbers = seen.splitlines()
    assert first == "yes"
    pid, session = numbers.split()
    assert pid == session


def test_signals_are_as_a_shell_would_leave_them(tmp_path: Path) -> None:
    """Python itself ignores SIGPIPE, and that would be inherited."""
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    seen = output_of(tmp_path, "grep -e ^SigBlk -e ^SigIgn /proc/self/status")
    masks = [int(line.split()[1], 16) for line in seen.splitlines()]
    assert masks[0] == 0
    assert not masks[1] & 1 << (signal.SIGPIPE - 1)


@pytest.mark.parametrize(
    ("command", "directory", "error"),
    [
        ("/no/such/program", ".", FileNotFoundError),
        ("/etc/passwd", ".", PermissionError),
        ("/bin/true", "/etc/passwd", NotADirectoryError),
    ],
)
def test_what_cannot_be_started_is_an_error(tmp_path: Path, command: str, directory: str, error: type) -> None:
    master, slave = pty.openpty()
    try:
        with opened(tmp_path / directory) as descriptor, pytest.raises(error):
            spawn([command], {}, directory=descriptor, terminal=os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)


def test_a_terminal_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with opened(tmp_path) as directory, pytest.raises(FileNotFoundError):
        spawn(["/bin/true"], {}, directory=directory, terminal="/no/such/terminal")
