"""The threads that start programs, kept: what a thread gives up for the sake of a child it cannot have back."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager
from pathlib import Path

from labplane import confinement

THREADS = 2

_server_directory = threading.Lock()


class Spawners:
    """A spawner for each program that is confined to itself, and one for all others."""

    def __init__(self) -> None:
        self._free = Spawner(())
        self._confined: dict[Path, Spawner] = {}

    def of(self, program: Path, *, confined: bool) -> "Spawner":
        """The spawner for `program`. Raises OSError when there is no such file."""
        if not confined:
            return self._free
        spawner = self._confined.get(program)
        if spawner is None or spawner.is_outdated():
            spawner = self._confined[program] = Spawner(confinement.with_loader(program))
        return spawner


class Spawner:
    """Starts programs from threads that can execute `files` only; anything when there are none."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._identity = self._identify()
        self._threads = ThreadPoolExecutor(THREADS, "spawn")
        self._here = threading.local()

    def is_outdated(self) -> bool:
        """True when one of the files was replaced: what the threads may execute is the old one."""
        return self._identity != self._identify()

    async def spawn(self, command: Sequence[str], terminal: str, cwd: Path, environment: Mapping[str, str]) -> int:
        """Start `command` on `terminal`, its controlling one; the pid. Raises OSError when it cannot be executed."""
        arguments = (list(command), terminal, cwd, dict(environment))
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._spawn, *arguments)

    def _identify(self) -> list[tuple[int, int, int]]:
        stats = [os.stat(file) for file in self._files]  # noqa: PTH116 - before each start
        return [(stat.st_dev, stat.st_ino, stat.st_mtime_ns) for stat in stats]

    def _spawn(self, command: list[str], terminal: str, cwd: Path, environment: dict[str, str]) -> int:
        if self._files and not hasattr(self._here, "confined"):
            confinement.only_execute(self._files)
            self._here.confined = True
        with _working_directory(cwd):
            return os.posix_spawn(
                command[0],
                command,
                environment,
                # As leader of a new session the child gets the first terminal that it opens as its controlling one.
                setsid=True,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                ],
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGTERM],
            )


@contextmanager
def _working_directory(cwd: Path) -> Iterator[None]:
    try:
        confinement.own_working_directory()
    except OSError:  # some containers forbid it: borrow the server's, which uses absolute paths only
        with _server_directory, chdir(cwd):
            yield
    else:
        os.chdir(cwd)
        yield
