"""The virtual PC as a machine of the engine: it reads its end of a link and its clock."""

import os
import socket
from asyncio import TimerHandle
from typing import Any, Protocol

from labplane_pc.commands.files import Directory
from labplane_pc.pc import Link, VirtualPC

MOST_FRAME = 65536
FRAMES_AT_ONCE = 32
BUFFER = bytearray(MOST_FRAME)
VIEW = memoryview(BUFFER)


class World(Protocol):
    """What the engine gives, as far as a PC needs it."""

    def printed(self, data: bytes, /) -> None: ...

    def ended(self, status: int, /) -> None: ...

    def now(self) -> float: ...

    def at(self, when: float, function: Any) -> TimerHandle: ...

    def soon(self, function: Any) -> None: ...

    def reads(self, descriptor: int, function: Any) -> None: ...

    def reads_no_more(self, descriptor: int) -> None: ...


class Machine:
    """A running PC.

    settings: ``mac``, in hexadecimal; ``version``, of labplane; ``link``, the members of a `Link`.
    descriptors: of its directory, and of its end: a connected UDP socket or a tap device, each a frame at a time.
    """

    def __init__(self, world: World, settings: dict[str, Any], descriptors: list[int]) -> None:
        self._world = world
        self._directory, self._end = descriptors
        link = Link(**settings["link"])
        self._socket = None if link.tap else socket.socket(fileno=self._end)
        os.set_blocking(self._end, False)
        self._timer: TimerHandle | None = None
        self._due: float | None = None
        self._pc = VirtualPC(
            bytes.fromhex(settings["mac"]),
            Directory(self._directory),
            link,
            version=settings["version"],
            send=self._send_to_tap if self._socket is None else self._send_to_socket,
            show=world.printed,
            ended=lambda status: world.soon(lambda: world.ended(status)),
        )
        world.reads(self._end, self._read_tap if self._socket is None else self._read_socket)
        self._pc.start(world.now())
        self._watch_clock()

    def typed(self, data: bytes) -> None:
        """Take the bytes that viewers of its console typed."""
        self._pc.typed(data, self._world.now())
        self._watch_clock()

    def close(self) -> None:
        """Let go of everything."""
        self._world.reads_no_more(self._end)
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._end)
        os.close(self._directory)

    def _read_socket(self) -> None:
        assert self._socket is not None  # noqa: S101 - or this would not be called
        receive, pc, now = self._socket.recv_into, self._pc.receive, self._world.now
        for _ in range(FRAMES_AT_ONCE):
            try:
                length = receive(BUFFER)
            except BlockingIOError:
                break
            except OSError:  # nobody has the other end open
                continue
            pc(bytes(VIEW[:length]), now())
        if self._pc.deadline != self._due:
            self._watch_clock()

    def _read_tap(self) -> None:
        for _ in range(FRAMES_AT_ONCE):
            try:
                frame = os.read(self._end, MOST_FRAME)
            except OSError:
                break
            self._pc.receive(frame, self._world.now())
        self._watch_clock()

    def _send_to_socket(self, frame: bytes) -> None:
        assert self._socket is not None  # noqa: S101 - or this would not be called
        try:
            self._socket.send(frame)
        except OSError:  # full, or nobody has the other end open: the frame is lost, as on any wire
            return

    def _send_to_tap(self, frame: bytes) -> None:
        try:
            os.write(self._end, frame)
        except OSError:
            return

    def _watch_clock(self) -> None:
        due = self._pc.deadline
        if due != self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = None if due is None else self._world.at(due, self._tick)

    def _tick(self) -> None:
        self._due = self._timer = None
        self._pc.tick(self._world.now())
        self._watch_clock()
