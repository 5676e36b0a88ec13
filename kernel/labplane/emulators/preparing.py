"""What a program is handed when it is started: its directory, its Landlock ruleset, its log's directory, and more."""

import _thread
import asyncio
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labplane.emulators import capabilities, confinement
from labplane.emulators.confinement import Needs
from labplane.emulators.logfile import LIMIT
from labplane.emulators.programs import closure, support


class Prepared:
    """Descriptors that are closed when the block ends, and the members of the request that names them.

    descriptors: in the order in which the members count them.
    """

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self.members: dict[str, Any] = {}
        self._own: list[int] = []

    def add(self, descriptor: int, *, own: bool = True) -> int:
        """Hand over `descriptor`, and close it in the end if it is our own; its index."""
        self.descriptors.append(descriptor)
        if own:
            self._own.append(descriptor)
        return len(self.descriptors) - 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while self._own:
            os.close(self._own.pop())


async def prepared(
    command: Sequence[str], cwd: Path, needs: Needs | None, log: Path | None, inherit: Mapping[int, int]
) -> Prepared:
    """All that has to be read from disk for a start, read in a thread of its own. Raises OSError.

    The descriptors are opened by the server: files and directories may be such as only it can reach.
    """

    def prepare() -> Prepared:
        ready = Prepared()
        try:
            members = ready.members
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            members["directory"] = ready.add(os.open(cwd, flags))
            if log is not None:
                place = members["directory"] if log.parent == cwd else ready.add(os.open(log.parent, flags))
                members["log"] = {"directory": place, "name": log.name, "limit": LIMIT}
            if needs is not None:
                members["capabilities"] = sorted(capabilities.numbers(needs.capabilities))
                if confinement.version():
                    members["ruleset"] = ready.add(confinement.ruleset(_with_basics(needs, Path(command[0]), cwd)))
                    members["terminal_rights"] = confinement.of_a_terminal()
            members["inherit"] = [[ready.add(given, own=False), number] for number, given in inherit.items()]
        except BaseException:
            ready.__exit__(None, None, None)
            raise
        return ready

    return await _in_thread_of_its_own(prepare)


async def _in_thread_of_its_own(work: Callable[[], Prepared]) -> Prepared:
    """The result of `work` in a fresh thread, which ends with it. This takes less time than an executor would."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Prepared] = loop.create_future()

    def hand_over(result: Prepared) -> None:
        if done.cancelled():
            result.__exit__(None, None, None)
        else:
            done.set_result(result)

    def fail(error: BaseException) -> None:
        if not done.cancelled():
            done.set_exception(error)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            loop.call_soon_threadsafe(fail, error)
        else:
            loop.call_soon_threadsafe(hand_over, result)

    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:  # the system has no room for one more
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
    return await done


def _with_basics(needs: Needs, program: Path, cwd: Path) -> Needs:
    executed = [file for one in (program, *filter(Path.exists, needs.executes)) for file in closure(one)]
    return replace(
        needs,
        executes=tuple(executed),
        reads=(*support(executed), *needs.reads),
        writes=(cwd, *needs.writes),
    )
