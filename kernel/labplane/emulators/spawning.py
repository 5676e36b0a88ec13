"""Threads that start one program each, because Landlock, capabilities and user are per thread and do not come back."""

import _thread
import asyncio
import ctypes
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from labplane.emulators import capabilities, confinement, posix_spawn
from labplane.emulators.confinement import Needs
from labplane.emulators.programs import closure, support
from labplane.emulators.users import User

PR_SET_TIMERSLACK = 29
SYS_SETGROUPS = {"x86_64": 116, "aarch64": 159}
SYS_SETRESUID = {"x86_64": 117, "aarch64": 147}
SYS_SETRESGID = {"x86_64": 119, "aarch64": 149}

_libc = ctypes.PyDLL(None, use_errno=True)  # none of the calls here waits


async def spawn(
    command: Sequence[str],
    terminal: str,
    cwd: Path,
    environment: Mapping[str, str],
    *,
    needs: Needs | None = None,
    user: User | None = None,
    timer_slack: float = 0.0,
    sigpipe: bool = True,
) -> int:
    """Start `command` in the directory `cwd` on `terminal`, its controlling one; the pid.

    needs:       what it may do besides running itself and working in `cwd`, as far as the kernel can keep it from all
                 else; None means anything.
    user:        the user as whom it runs, None for the server's own.
    timer_slack: seconds that its timers may be late, 0 for as few as usual.
    sigpipe:     whether SIGPIPE ends it, or is ignored.

    Raises OSError when it cannot be executed.
    """

    def started() -> int:
        if timer_slack:
            _wait_longer(timer_slack)
        # Opened now: without its capabilities root may not go through every directory on the way.
        directory = os.open(cwd, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if needs is not None and confinement.version():
                confinement.confine(_with_basics(needs, Path(command[0]), cwd, Path(terminal)))
            if needs is None:
                if user is not None:
                    _become(user)
            else:
                _give_up(capabilities.numbers(needs.capabilities), user)
            return posix_spawn.spawn(command, environment, directory=directory, terminal=terminal, sigpipe=sigpipe)
        finally:
            os.close(directory)

    return await _in_thread_of_its_own(started)


async def _in_thread_of_its_own(work: Callable[[], int]) -> int:
    """The result of `work` in a fresh thread, which ends with it. This takes less time than an executor would."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, result)

    _thread.start_new_thread(run, ())
    return await asyncio.shield(done)


def _with_basics(needs: Needs, program: Path, cwd: Path, terminal: Path) -> Needs:
    executed = [file for one in (program, *filter(Path.exists, needs.executes)) for file in closure(one)]
    return replace(
        needs,
        executes=tuple(executed),
        reads=(*support(executed), *needs.reads),
        writes=(cwd, terminal, *needs.writes),
    )


def _wait_longer(slack: float) -> None:
    """Let timers of the calling thread, and of the program that it starts, be `slack` seconds late (man 2 prctl)."""
    _libc.prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(round(slack * 1e9)), 0, 0, 0)


def _give_up(kept: Collection[int], user: User | None) -> None:
    """Keep of the calling thread's capabilities those of these numbers, and become `user`."""
    confinement.gain_no_privileges()
    capabilities.limit(kept)
    if user is not None:
        _become(user)
    capabilities.drop(kept)


def _become(user: User) -> None:
    """Change the user of the calling thread alone; libc's own functions would change that of all threads."""
    machine = os.uname().machine
    if machine not in SYS_SETRESUID:
        raise OSError(f"changing the user is not known on {machine}")
    for number, arguments in (
        (SYS_SETGROUPS, (0, None)),
        (SYS_SETRESGID, (user.gid,) * 3),
        (SYS_SETRESUID, (user.uid,) * 3),
    ):
        if _libc.syscall(number[machine], *arguments) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
