"""Talking to the program of a node that runs: what is plugged in, what is captured."""

import asyncio
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self

from labplane import Conflict, Unavailable

SOCKET = ".labplane-control"
ANSWERS_WITHIN = 20.0
LONGEST = 65536
MOST_FILES = 253  # that one message can have


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Control:
    """The line to one node's program.

    ends: the UDP socket of each plugged adapter. The program has it too; we keep it so that another can take its place.
    """

    def __init__(self, line: socket.socket, name: str) -> None:
        self._line = line
        self._name = name
        self.ends: dict[int, socket.socket] = {}

    @classmethod
    async def of_program(cls, folder: Path, is_alive: Callable[[], bool], name: str) -> Self:
        """The line to the program that runs in `folder`, when its node is up, with the ends that it has.

        Raises Unavailable, with the program's own sentence, when it cannot come up.
        """
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control = cls(line, name)
        try:
            line.setblocking(False)
            async with asyncio.timeout(ANSWERS_WITHIN):
                while is_alive() and not _connect(line, folder):
                    await asyncio.sleep(0.01)
            said, ends = await control._answer(Unavailable)
            control.ends = dict(zip(said["plugged"], ends, strict=True))
        except TimeoutError:
            control.close()
            raise Conflict(f"{name} did not answer within {ANSWERS_WITHIN:g} s.") from None
        except BaseException:
            control.close()
            raise
        return control

    async def ask(self, what: str, adapter: int, file: HasFileno | None = None) -> None:
        """Have the program do that at an adapter, and wait until it is done. Raises Conflict when it cannot."""
        text = json.dumps({"do": what, "adapter": adapter}).encode()
        try:
            socket.send_fds(self._line, [text], [] if file is None else [file.fileno()])
        except OSError:
            raise Conflict(f"{self._name} has ended.") from None
        await self._answer(Conflict)

    def keep(self, adapter: int, end: socket.socket | None) -> None:
        """Have `end` for the adapter instead of what was there."""
        old = self.ends.pop(adapter, None)
        if old is not None:
            old.close()
        if end is not None:
            self.ends[adapter] = end

    def close(self) -> None:
        self._line.close()
        for adapter in list(self.ends):
            self.keep(adapter, None)

    async def _answer(self, refusal: type[Conflict | Unavailable]) -> tuple[dict[str, Any], list[socket.socket]]:
        text = b""
        files: list[int] = []
        with suppress(OSError):
            async with asyncio.timeout(ANSWERS_WITHIN):
                await self._there()
                text, files, _, _ = socket.recv_fds(self._line, LONGEST, MOST_FILES)
        if not text:
            self._line.close()  # or a late answer would be taken for that to another question
            raise refusal(f"{self._name} does not answer.")
        said: dict[str, Any] = json.loads(text)
        if (error := said.get("error")) is not None:
            raise refusal(f"{self._name}: {error}")
        return said, [socket.socket(fileno=number) for number in files]

    async def _there(self) -> None:
        """Wait until there is something to receive; asyncio itself receives no files."""
        loop = asyncio.get_running_loop()
        there = asyncio.Event()
        loop.add_reader(self._line, there.set)
        try:
            await there.wait()
        finally:
            loop.remove_reader(self._line)


def _connect(line: socket.socket, folder: Path) -> bool:
    """By way of a descriptor: the address of a Unix socket has room for 107 bytes, and a path may be longer."""
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        line.connect(f"/proc/self/fd/{place}/{SOCKET}")
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    finally:
        os.close(place)
    return True
