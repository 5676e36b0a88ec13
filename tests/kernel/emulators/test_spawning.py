"""Each program is started by a thread of its own, which gives up for it what it will not have."""

import asyncio
import itertools
import os
import pty
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from labplane.emulators.confinement import Needs
from labplane.emulators.spawning import spawn
from labplane.emulators.users import User
from support import until

SH = Path("/bin/sh").resolve()
CONFINED = Needs()

times = itertools.count(1)


@pytest.fixture
def terminal() -> Iterator[str]:
    """The path of a pty's slave side, whose other end stays open."""
    master, slave = pty.openpty()
    os.fchmod(slave, 0o666)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def result(
    terminal: str,
    cwd: Path,
    *command: str,
    needs: Needs | None = CONFINED,
    user: User | None = None,
    timer_slack: float = 0.0,
) -> int:
    """The exit status of `command`."""
    pid = asyncio.run(spawn(command, terminal, cwd, {}, needs=needs, user=user, timer_slack=timer_slack))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def copy_of_the_shell(path: Path) -> Path:
    """A new file at `path`, moved there as package managers do, of a time that no other has."""
    fresh = path.with_name("fresh")
    shutil.copy(SH, fresh)
    os.utime(fresh, (0, next(times)))
    return fresh.replace(path)


def test_a_program_that_was_replaced_can_be_started_all_the_same(tmp_path: Path, terminal: str) -> None:
    """B-15: Landlock knows files, not names, so each start looks at what is there."""
    for status in ("3", "4"):
        program = copy_of_the_shell(tmp_path / "program")
        assert result(terminal, tmp_path, str(program), "-c", f"exit {status}") == int(status)


def test_no_thread_remains(tmp_path: Path, terminal: str) -> None:
    def threads() -> set[str]:
        return set(os.listdir("/proc/self/task"))

    before = threads()
    for needs in (None, Needs()):
        assert result(terminal, tmp_path, str(SH), "-c", "exit 0", needs=needs) == 0
    until(lambda: threads() <= before, "the end of the threads")  # one of an earlier test may end meanwhile


def test_a_confined_shell_can_start_nothing_and_an_unconfined_one_can(tmp_path: Path, terminal: str) -> None:
    command = [str(SH), "-c", "/usr/bin/env true"]
    assert result(terminal, tmp_path, *command) == 126
    assert result(terminal, tmp_path, *command, needs=None) == 0
    assert result(terminal, tmp_path, *command) == 126, "the server is as it was"


def test_a_script_can_be_started_and_so_can_its_interpreter(tmp_path: Path, terminal: str) -> None:
    script = tmp_path / "script"
    for first in ("#!/bin/sh", "#! /bin/sh -e", "#!/usr/bin/env sh", "#!/usr/bin/env -S sh"):
        script.write_text(f"{first}\nexit 5\n")
        script.chmod(0o755)
        assert result(terminal, tmp_path, str(script)) == 5, first


@pytest.mark.parametrize("needs", [None, CONFINED])
def test_timers_of_a_program_may_be_late_and_those_of_the_server_may_not(
    tmp_path: Path, terminal: str, needs: Needs | None
) -> None:
    own = Path("/proc/self/timerslack_ns")
    before = own.read_text()
    script = "read slack < /proc/self/timerslack_ns; exit $((slack / 1000000))"
    command = [str(SH), "-c", script]
    assert result(terminal, tmp_path, *command, needs=needs, timer_slack=0.005) == 5
    assert result(terminal, tmp_path, *command, needs=needs) == 0
    assert own.read_text() == before


@pytest.mark.parametrize("needs", [None, Needs()])
def test_a_missing_program_is_an_error(tmp_path: Path, terminal: str, needs: Needs | None) -> None:
    with pytest.raises(FileNotFoundError):
        result(terminal, tmp_path, str(tmp_path / "absent"), needs=needs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run programs as somebody else")
@pytest.mark.parametrize("needs", [None, Needs()])
def test_a_program_runs_as_another_user_and_the_server_does_not(terminal: str, needs: Needs | None) -> None:
    entry = pwd.getpwnam("nobody")
    user = User(entry.pw_uid, entry.pw_gid)
    script = f'test "$(/usr/bin/id -u)" = {user.uid} && test "$(/usr/bin/id -G)" = {user.gid} && exit 7'
    if needs is not None:
        needs = Needs(executes=(Path("/usr/bin/id"),))
    assert result(terminal, Path("/"), str(SH), "-c", script, needs=needs, user=user) == 7
    assert os.geteuid() == 0
    assert result(terminal, Path("/"), str(SH), "-c", "exit 0") == 0
