"""What a machine in the engine has around it, and what it has to be."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from labplane_engine.ends import End, Ends


class Machine(Protocol):
    """A machine: a class that the engine calls with a `World`, with settings in JSON types, and with descriptors.

    Nothing that it does may block; what it raises ends it, and it alone.
    """

    def typed(self, data: bytes) -> None:
        """Take the bytes that viewers of its console typed."""
        ...

    def close(self) -> None:
        """Let go of what it has itself: it has ended. Called once, whatever was the reason.

        What it has from its `World`, its ends and timers, is taken back after that.
        """
        ...


class World:
    """The surroundings of one machine, which it gets when it is made.

    printed: to be called with the bytes that its console prints.
    ended:   to be called with a status, as of a process, when it ends by itself.
    """

    def __init__(
        self,
        ends: Ends,
        printed: Callable[[bytes], None],
        ended: Callable[[int], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.printed = printed
        self.ended = ended
        self._failed = failed
        self._ends = ends
        self._own: list[End] = []
        self._loop = ends.loop
        self._is_over = False

    def now(self) -> float:
        """Seconds that only go on."""
        return time.monotonic()

    def soon(self, function: Callable[[], None]) -> None:
        """Call `function` in the next turn of the loop."""
        self._loop.call_soon(self.guarded(function))

    def at(self, when: float, function: Callable[[], None]) -> asyncio.TimerHandle:
        """Call `function` when it is `when`, as `now` has it; the handle's `cancel` prevents that."""
        return self._loop.call_later(max(0.0, when - time.monotonic()), self.guarded(function))

    def settle(self) -> None:
        """Deliver what the machine has sent so far; it may be given frames meanwhile.

        That happens anyway when the function that the engine has called returns. What is left to do there, such as to
        set a timer, can wait until then.
        """
        self._ends.settle()

    def end(self, descriptor: int, received: Callable[[bytes], None]) -> End:
        """An end of a link, through which frames go with its `send`; `received` takes each frame that comes.

        descriptor: of a connected UDP socket, as `labplane.open_udp` makes it, or of a tap device. The end closes it.
        """
        end = End(self._ends, descriptor, received, self._failed)
        self._own.append(end)
        return end

    def guarded(self, function: Callable[..., None]) -> Callable[..., None]:
        """A function that does the same, ends the machine when that raises, and nothing once the machine has ended."""

        def call(*arguments: Any) -> None:
            if not self._is_over:
                with self._ends:
                    try:
                        function(*arguments)
                    except Exception as error:
                        self._failed(error)

        return call

    def close(self) -> None:
        """Take everything back; for the engine."""
        self._is_over = True
        for end in self._own:
            end.close()
