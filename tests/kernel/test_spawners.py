"""The threads that start programs: kept, and renewed when what they may execute is no longer what is there."""

import asyncio
import itertools
import os
import pty
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labplane.spawners import THREADS, Spawner, Spawners

SH = Path("/bin/sh").resolve()

times = itertools.count(1)


@pytest.fixture
def terminal() -> Iterator[str]:
    """The path of a pty's slave side, whose other end stays open."""
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def result(spawner: Spawner, terminal: str, cwd: Path, *command: str) -> int:
    """The exit status of `command`, started by `spawner`."""
    pid = asyncio.run(spawner.spawn(command, terminal, cwd, {}))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def copy_of_the_shell(path: Path) -> Path:
    """A new file at `path`, moved there as package managers do, of a time that no other has."""
    fresh = path.with_name("fresh")
    shutil.copy(SH, fresh)
    os.utime(fresh, (0, next(times)))
    return fresh.replace(path)


def test_a_program_that_was_replaced_can_be_started_all_the_same(tmp_path: Path, terminal: str) -> None:
    """B-15, B-21: Landlock knows files, not names, so the threads for the old file could not execute the new one."""
    program = copy_of_the_shell(tmp_path / "program")
    spawners = Spawners()
    before = spawners.of(program, confined=True)
    assert result(before, terminal, tmp_path, str(program), "-c", "exit 3") == 3
    copy_of_the_shell(program)
    assert before.is_outdated()
    with pytest.raises(PermissionError):
        result(before, terminal, tmp_path, str(program), "-c", "exit 3")
    after = spawners.of(program, confined=True)
    assert not after.is_outdated()
    assert result(after, terminal, tmp_path, str(program), "-c", "exit 4") == 4


def test_a_program_that_was_written_over_is_a_new_one_too(tmp_path: Path) -> None:
    program = copy_of_the_shell(tmp_path / "program")
    spawners = Spawners()
    before = spawners.of(program, confined=True)
    stat = program.stat()
    os.utime(program, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert spawners.of(program, confined=True) is not before


def test_as_long_as_a_program_stays_so_do_its_threads(tmp_path: Path, terminal: str) -> None:
    """Not one new thread for each start: a confined one costs, and could not be used for anything else."""
    program = copy_of_the_shell(tmp_path / "program")
    spawners = Spawners()
    others = set(threading.enumerate())
    seen: set[int | None] = set()
    for confined in (True, False):
        for _ in range(4 * THREADS):
            spawner = spawners.of(program, confined=confined)
            assert result(spawner, terminal, tmp_path, str(program), "-c", "exit 5") == 5
            seen |= {thread.native_id for thread in set(threading.enumerate()) - others}
    assert 2 <= len(seen) <= 2 * THREADS


def test_programs_share_no_confined_threads_and_all_the_others_do(tmp_path: Path, terminal: str) -> None:
    """B-15: a thread that may execute one program must not start another."""
    one, two = copy_of_the_shell(tmp_path / "one"), copy_of_the_shell(tmp_path / "two")
    spawners = Spawners()
    assert spawners.of(one, confined=True) is not spawners.of(two, confined=True)
    assert spawners.of(one, confined=False) is spawners.of(two, confined=False)
    for program in (one, two):
        assert result(spawners.of(program, confined=True), terminal, tmp_path, str(program), "-c", "exit 0") == 0
    with pytest.raises(PermissionError):
        result(spawners.of(one, confined=True), terminal, tmp_path, str(two), "-c", "exit 0")


def test_a_confined_shell_can_start_nothing_and_an_unconfined_one_can(tmp_path: Path, terminal: str) -> None:
    """B-15: on every thread, not just the first."""
    program = copy_of_the_shell(tmp_path / "program")
    spawners = Spawners()
    command = (str(program), "-c", "/usr/bin/env true")

    async def results(confined: bool) -> set[int]:
        spawner = spawners.of(program, confined=confined)
        pids = [spawner.spawn(command, terminal, tmp_path, {}) for _ in range(4 * THREADS)]
        return {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in await asyncio.gather(*pids)}

    assert asyncio.run(results(False)) == {0}
    assert asyncio.run(results(True)) == {126}


@pytest.mark.parametrize("confined", [True, False])
def test_a_missing_program_is_an_error(tmp_path: Path, terminal: str, confined: bool) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError):
        result(Spawners().of(missing, confined=confined), terminal, tmp_path, str(missing))


def test_a_program_that_goes_missing_is_an_error_and_can_come_back(tmp_path: Path, terminal: str) -> None:
    program = copy_of_the_shell(tmp_path / "program")
    spawners = Spawners()
    assert result(spawners.of(program, confined=True), terminal, tmp_path, str(program), "-c", "exit 0") == 0
    program.unlink()
    with pytest.raises(FileNotFoundError):
        spawners.of(program, confined=True)
    copy_of_the_shell(program)
    assert result(spawners.of(program, confined=True), terminal, tmp_path, str(program), "-c", "exit 0") == 0
