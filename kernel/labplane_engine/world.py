"""What a machine in the engine has around it, and what it has to be."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol


class Machine(Protocol):
    """A machine. Nothing that it does may block; what it raises ends it, and it alone."""

    def typed(self, data: bytes) -> None:
        """Take the bytes that viewers of its console typed."""
        ...

    def close(self) -> None:
        """Let go of everything, descriptors too: it has ended. Called once, whatever was the reason."""
        ...


class World:
    """The surroundings of one machine, which it gets when it is made.

    printed: to be called with the bytes that its console prints.
    ended:   to be called with a status, as of a process, when it ends by itself.
    guarded: a function that does the same as its argument, and ends the machine when that raises.
    """

    def __init__(
        self, printed: Callable[[bytes], None], ended: Callable[[int], None], failed: Callable[[Exception], None]
    ) -> None:
        self.printed = printed
        self.ended = ended
        self._failed = failed
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        """Seconds that only go on."""
        return time.monotonic()

    def soon(self, function: Callable[[], None]) -> None:
        """Call `function` in the next turn of the loop."""
        self._loop.call_soon(self.guarded(function))

    def at(self, when: float, function: Callable[[], None]) -> asyncio.TimerHandle:
        """Call `function` when it is `when`, as `now` has it."""
        return self._loop.call_at(when - time.monotonic() + self._loop.time(), self.guarded(function))

    def reads(self, descriptor: int, function: Callable[[], None]) -> None:
        """Call `function` whenever there is something to read at `descriptor`."""
        self._loop.add_reader(descriptor, self.guarded(function))

    def reads_no_more(self, descriptor: int) -> None:
        """The opposite; to be called before `descriptor` is closed."""
        self._loop.remove_reader(descriptor)

    def guarded(self, function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            try:
                function(*arguments)
            except Exception as error:
                self._failed(error)

        return call
