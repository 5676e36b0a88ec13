"""QEMU's monitor: commands and events of a machine that runs, in its protocol QMP."""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, Self

from labplane import Conflict

SOCKET = "monitor"
ANSWERS_WITHIN = 20.0
LONGEST = 16 * 1024 * 1024


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Monitor:
    """A connection to the monitor of one machine.

    busy: whether a command is under way; what happens meanwhile was asked for.
    """

    def __init__(self, line: socket.socket, name: str, on_event: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._line = line
        self._name = name
        self._on_event = on_event
        self._answers: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self.busy = False

    @classmethod
    async def of(cls, folder: Path, name: str, on_event: Callable[[str, Mapping[str, Any]], None]) -> Self:
        """The monitor of the machine that runs in `folder`. Raises Conflict when it does not answer."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        monitor = cls(line, name, on_event)
        try:
            line.setblocking(False)
            with at_hand(folder) as path:
                line.connect(path)
            monitor._reader = asyncio.create_task(monitor._read())
            await monitor._answer()  # the greeting
            await monitor.ask("qmp_capabilities")
        except OSError as error:
            monitor.close()
            raise Conflict(f"{name} cannot be reached at its monitor: {error.strerror}.") from None
        except BaseException:
            monitor.close()
            raise
        return monitor

    async def ask(self, command: str, handed: HasFileno | None = None, **arguments: Any) -> Any:
        """What the machine answers to `command`; handed: what it gets a descriptor of. Raises Conflict."""
        text = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        async with self._turn:
            self.busy = True
            try:
                socket.send_fds(self._line, [text], [] if handed is None else [handed.fileno()])
                return await self._answer()
            except OSError:
                raise Conflict(f"{self._name} has ended, or its monitor does not read.") from None
            finally:
                self.busy = False

    def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        self._line.close()

    async def _answer(self) -> Any:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                answer = await self._answers.get()
        except TimeoutError:
            self.close()  # or a late answer would be taken for that to another command
            raise Conflict(f"The monitor of {self._name} did not answer within {ANSWERS_WITHIN:g} s.") from None
        if answer is None:
            raise Conflict(f"The monitor of {self._name} does not answer; the machine has ended.")
        if "error" in answer:
            raise Conflict(f"{self._name}: {answer['error'].get('desc', 'refused')}")
        return answer.get("return")

    async def _read(self) -> None:
        """Sort what comes into answers and events, until the machine ends."""
        waiting = b""
        with suppress(OSError, ValueError):
            while data := await asyncio.get_running_loop().sock_recv(self._line, 65536):
                *lines, waiting = (waiting + data).split(b"\n")
                if len(waiting) > LONGEST:
                    break
                for line in lines:
                    if not line.strip():
                        continue
                    message = json.loads(line)
                    if "event" in message:
                        self._on_event(message["event"], message.get("data", {}))
                    else:
                        self._answers.put_nowait(message)
        self._answers.put_nowait(None)


def listening(folder: Path) -> socket.socket:
    """The socket of a monitor in `folder`, at which the machine is going to listen.

    The machine gets it as a descriptor, and a later server finds it by its place, so that it can speak to a machine
    that an earlier one has started.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        (folder / SOCKET).unlink(missing_ok=True)
        with at_hand(folder) as path:
            line.bind(path)
        (folder / SOCKET).chmod(0o600)
        line.listen(1)  # at once, so that it can be connected to before the machine is up
    except BaseException:
        line.close()
        raise
    return line


@contextmanager
def at_hand(folder: Path) -> Iterator[str]:
    """A path of the monitor in `folder` that fits into an address, which has room for 107 bytes."""
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{place}/{SOCKET}"
    finally:
        os.close(place)
