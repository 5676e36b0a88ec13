"""Timers without a clock: whoever holds them says what time it is."""

import heapq
from collections.abc import Callable
from itertools import count

Callback = Callable[[float], None]


class Timer:
    """A callback at a time, until it is cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class Timers:
    """Timers of one machine. next: the time of the earliest, which may be cancelled by then; None without any."""

    __slots__ = ("_heap", "_order", "next")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self.next: float | None = None

    def at(self, when: float, callback: Callback) -> Timer:
        """Have `callback` called with the time once it is `when`."""
        timer = Timer(callback)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        self.next = self._heap[0][0]
        return timer

    def run(self, now: float) -> None:
        """Call those whose time has come."""
        while self._heap and self._heap[0][0] <= now:
            callback = heapq.heappop(self._heap)[2].callback
            if callback is not None:
                callback(now)
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        self.next = self._heap[0][0] if self._heap else None
