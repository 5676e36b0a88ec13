"""Processes on terminals, with what they printed and how they ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from labplane.emulators.terminals import Process, Terminals

SH = "/bin/sh"


class Child:
    """A process with what it printed and how it ended."""

    process: Process

    def __init__(self, terminals: Terminals) -> None:
        self.terminals = terminals
        self.output = b""
        self.ends: list[int] = []

    def printed(self, data: bytes) -> None:
        self.output += data

    async def until(self, words: bytes) -> None:
        async with asyncio.timeout(60):
            while words not in self.output:
                await asyncio.sleep(0.002)

    async def wait(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()


@asynccontextmanager
async def child(cwd: Path, *command: str, **more: Any) -> AsyncIterator[Child]:
    terminals = Terminals()
    one = Child(terminals)
    try:
        one.process = await terminals.spawn(command, cwd=cwd, on_output=one.printed, on_exit=one.ends.append, **more)
        yield one
        terminals.kill_all()
        await one.wait()
    finally:
        await terminals.end()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int) -> None:
    end = time.monotonic() + 60
    while alive(pid):
        assert time.monotonic() < end, f"{pid} still runs"
        time.sleep(0.005)


def output_of(command: Sequence[str], cwd: Path, **more: Any) -> bytes:
    """All that `command` prints until it ends."""

    async def main() -> bytes:
        async with child(cwd, *command, **more) as one:
            await one.wait()
            return one.output

    return asyncio.run(main())
