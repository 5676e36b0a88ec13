"""The virtual PC as a machine of the engine: its end of a link, and its clock."""

import os
from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any, Protocol

from labplane_pc.commands.files import Directory
from labplane_pc.pc import Link, VirtualPC


class End(Protocol):
    """An end of a link."""

    def send(self, frame: bytes, /) -> None: ...


class World(Protocol):
    """What the engine gives, as far as a PC needs it."""

    def printed(self, data: bytes, /) -> None: ...

    def ended(self, status: int, /) -> None: ...

    def now(self) -> float: ...

    def at(self, when: float, function: Callable[[], None]) -> TimerHandle: ...

    def soon(self, function: Callable[[], None]) -> None: ...

    def settle(self) -> None: ...

    def end(self, descriptor: int, received: Callable[[bytes], None]) -> End: ...


class Machine:
    """A running PC.

    settings: ``mac``, in hexadecimal; ``version``, of labplane; ``link``, the members of a `Link`.
    descriptors: of its directory, and of its end of the link.
    """

    def __init__(self, world: World, settings: dict[str, Any], descriptors: list[int]) -> None:
        self._world = world
        self._now = world.now
        self._directory, end = descriptors
        self._timer: TimerHandle | None = None
        self._due: float | None = None
        self._pc = VirtualPC(
            bytes.fromhex(settings["mac"]),
            Directory(self._directory),
            Link(**settings["link"]),
            version=settings["version"],
            send=world.end(end, self._received).send,
            show=world.printed,
            ended=lambda status: world.soon(lambda: world.ended(status)),
            clock=world.now,
        )
        self._pc.start(world.now())
        self._watch_clock()

    def typed(self, data: bytes) -> None:
        """Take the bytes that viewers of its console typed."""
        self._pc.typed(data, self._now())
        self._world.settle()
        self._watch_clock()

    def close(self) -> None:
        """Let go of everything."""
        self._pc.leave()
        os.close(self._directory)

    def _received(self, frame: bytes) -> None:
        self._pc.receive(frame, self._now())
        if self._pc.deadline != self._due:
            self._watch_clock()

    def _watch_clock(self) -> None:
        due = self._pc.deadline
        if due != self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = None if due is None else self._world.at(due, self._tick)

    def _tick(self) -> None:
        self._due = self._timer = None
        self._pc.tick(self._now())
        self._world.settle()  # a ping is on its way before the timer is set that waits for its answer
        self._watch_clock()
