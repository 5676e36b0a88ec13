"""A server that is killed and started again on the same data directory, as often as a test likes."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from labplane.testing import host
from support import Server, free_range, running, until


class Process(NamedTuple):
    """A process, which no later one of the same number is taken for; begun: field 22 of /proc/<pid>/stat."""

    pid: int
    begun: int

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process of that number, None when there is none or it has ended and is not reaped."""
        try:
            _, _, tail = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = tail.split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @property
    def runs(self) -> bool:
        return Process.of(self.pid) == self


class Lives:
    """One life of a ``labplane serve`` after the other, with the same directory, ports and options.

    server: the one that runs now, or ran last.
    """

    def __init__(self, projects: Path, *options: str, within: tuple[str, ...] = ()) -> None:
        self.projects = projects
        self.logs: list[Path] = []
        self._options = options
        self._within = within
        self._port = int(free_range(1).split("-")[0])
        self._consoles, self._udp = free_range(200), free_range(300, socket.SOCK_DGRAM)
        self._stack = ExitStack()
        self.server: Server

    @classmethod
    @contextmanager
    def beginning(cls, projects: Path, *options: str, within: tuple[str, ...] = ()) -> Iterator[Self]:
        """The first life has begun; at the end the last one is ended in order, and everything with it."""
        lives = cls(projects, *options, within=within)
        try:
            lives.begin()
            yield lives
        finally:
            lives.end()

    def begin(self) -> None:
        """Start the server; it answers when this returns."""
        there = {"port": self._port, "consoles": self._consoles, "udp": self._udp}
        self.server = self._stack.enter_context(
            running(self.projects, *self._options, within=self._within, **there)  # type: ignore[arg-type]
        )

    def kill(self) -> None:
        """SIGKILL for the server, which is gone when this returns."""
        with suppress(ProcessLookupError):
            os.kill(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait()

    def again(self) -> None:
        """Start the server anew, after its end; what an earlier one has left is left to it."""
        assert self.server.process.poll() is not None
        self.begin()

    def end(self) -> None:
        """End the server with SIGTERM, if it runs, and all that any of them has left."""
        self._stack.close()

    def machines(self) -> dict[str, list[Process]]:
        """The processes that work in the directory of a VM, by the id of that VM."""
        found: dict[str, list[Process]] = {}
        for one, place in self._at_work():
            parts = place.parts
            if len(parts) >= 4 and parts[1] == "project-files" and (process := Process.of(one.pid)) is not None:
                found.setdefault(parts[3].removesuffix(" (deleted)"), []).append(process)
        return found

    def keeper(self) -> Process:
        """The process that owns the machines: the parent of each of them, and not the server."""
        machines = {process.pid for processes in self.machines().values() for process in processes}
        (parent,) = {one.parent for one in host.processes() if one.pid in machines}
        assert parent != self.server.process.pid, "the server itself owns its machines"
        found = Process.of(parent)
        assert found is not None
        return found

    def _at_work(self) -> Iterator[tuple[host.Process, Path]]:
        """The processes whose working directory is below the projects directory, and where in it."""
        root = self.projects.resolve()
        for one in host.processes():
            with suppress(OSError, ValueError):  # it has ended, or works elsewhere
                if one.runs:
                    yield one, Path(os.readlink(f"/proc/{one.pid}/cwd")).relative_to(root)


def until_ended(process: Process, seconds: float = 20.0) -> None:
    until(lambda: not process.runs, f"the end of the process {process.pid}", seconds)
