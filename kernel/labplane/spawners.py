"""The threads that start programs, kept: what a thread gives up for the sake of a child it cannot have back."""

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labplane import confinement, posix_spawn

THREADS = 2


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
        return posix_spawn.spawn(command, environment, cwd=cwd, terminal=terminal)
