"""Keepers of a test's own, and what the kernel says of them."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from children import gone
from labplane.keeper import starting
from labplane.keeper.connection import Connection

SH = "/bin/sh"


@contextmanager
def kept(directory: Path, linger: float = 60.0, *, bound: bool = False) -> Iterator[int]:
    """A keeper of `directory`, which is ended at the end of the block, with all that it runs; its pid."""
    pid = starting.start(directory, linger, bound)
    try:
        yield pid
    finally:
        end(directory, pid)


def end(directory: Path, pid: int) -> None:
    """End the keeper with the process `pid`, whatever became of it."""
    with suppress(OSError):
        asyncio.run(_quit(directory))
    with suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
    gone(pid)


async def _quit(directory: Path) -> None:
    async with connected(directory, "visitor") as one:
        await one.ask("quit", patience=0.0)
        await one.lost()


class Talk:
    """A connection to a keeper, with what came on it."""

    def __init__(self, end: socket.socket, role: str) -> None:
        self.output: dict[str, bytes] = {}
        self.offsets: list[tuple[str, int, int]] = []
        self.ends: dict[str, int] = {}
        self.complaints: list[str] = []
        self.connection = Connection(end, role, self._event, lambda: None)
        self._news = asyncio.Event()

    def _event(self, event: dict[str, Any], data: bytes) -> None:
        if event["event"] == "output":
            self.output[event["id"]] = self.output.get(event["id"], b"") + data
            self.offsets.append((event["id"], event["offset"], len(data)))
        elif event["event"] == "exit":
            self.ends[event["id"]] = event["status"]
        else:
            self.complaints.append(event["text"])
        self._news.set()

    async def ask(self, op: str, *given: Any, **members: Any) -> dict[str, Any]:
        return await self.connection.ask(op, *given, **members)

    async def spawn(self, name: str, *command: str, generation: int = 1, cwd: Path = Path("/"), **more: Any) -> Any:
        """Ask for a run, with what must be said of it, and read it."""
        at = os.open(cwd, os.O_PATH)
        given = (at, *more.pop("descriptors", ()))
        needed = {"command": command, "directory": 0, "ring": 16384, "read": True}
        try:
            return await self.ask("spawn", b"", given, id=name, generation=generation, **{**needed, **more})
        finally:
            os.close(at)

    async def until(self, look: Any) -> None:
        async with asyncio.timeout(60):
            while not look():
                self._news.clear()
                await self._news.wait()

    async def printed(self, name: str, words: bytes) -> None:
        await self.until(lambda: words in self.output.get(name, b""))

    async def ended(self, name: str) -> int:
        await self.until(lambda: name in self.ends)
        return self.ends[name]

    async def lost(self) -> None:
        async with asyncio.timeout(60):
            await self.connection.lost.wait()


@asynccontextmanager
async def connected(directory: Path, role: str = "server") -> AsyncIterator[Talk]:
    """A connection to the keeper of `directory`."""
    talk = Talk(starting.connected(directory), role)
    try:
        await talk.connection.ready()
        yield talk
    finally:
        talk.connection.close()
