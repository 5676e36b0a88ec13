"""Work that waits: generators that say for what, resumed by an event, by the time, or by Ctrl+C."""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from labplane_pc.timers import Timer, Timers


class Received(NamedTuple):
    """An IP packet for whatever waits for it.

    length: of the whole packet, put together, in bytes; body: what it carries; mac: from whom the frame came; time: of
    its arrival, in seconds.
    """

    protocol: int
    source: bytes
    target: bytes
    ttl: int
    length: int
    body: bytes
    mac: bytes
    time: float


class Learnt(NamedTuple):
    """The MAC address of a neighbour."""

    address: bytes
    mac: bytes


class Keys(NamedTuple):
    """What was typed while a command that waits for keys runs."""

    data: bytes


Event = Received | Learnt | Keys


class Wait(NamedTuple):
    """What a task waits for: `seconds`, or until then the first event that `match` accepts. It is sent that or None."""

    seconds: float
    match: Callable[[Any], object] | None = None


Task = Generator[Wait, Any, None]


class Interrupted(Exception):
    """Ctrl+C was typed; thrown into the task that waits."""


class Running:
    """A task on its way. done: called when it has ended."""

    __slots__ = ("_done", "_task", "_timer", "_timers", "_wait")

    def __init__(self, task: Task, timers: Timers, done: Callable[[], None]) -> None:
        self._task = task
        self._timers = timers
        self._done = done
        self._wait: Wait | None = None
        self._timer: Timer | None = None

    def begin(self, now: float) -> None:
        """Run it to where it waits first, or to its end."""
        self._go(lambda: next(self._task), now)

    def hear(self, event: Event, now: float) -> None:
        """Go on if it waits for this."""
        wait = self._wait
        if wait is not None and wait.match is not None and wait.match(event):
            self._go(lambda: self._task.send(event), now)

    def interrupt(self, now: float) -> None:
        """Let it end early."""
        if self._wait is not None:
            self._go(lambda: self._task.throw(Interrupted()), now)

    def _on_time(self, now: float) -> None:
        self._go(lambda: self._task.send(None), now)

    def _go(self, step: Callable[[], Wait], now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wait = self._timer = None
        try:
            wait = step()
        except (StopIteration, Interrupted):
            self._done()
            return
        self._wait = wait
        self._timer = self._timers.at(now + wait.seconds, self._on_time)
