"""The hidden relay socket: VPCS before 0.8 takes UDP lport + 9, where a neighbour may want to live (Q-5, B-12).

A VPCS tries for that socket once, no sooner than 0.21 seconds after it was started, and does without when the port is
taken. So the port is guarded until it has tried. A neighbour whose own lport it is gets it at once while there is time
to bind it before the attempt, and waits for the attempt otherwise.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

from labplane import Conflict, Lab
from labplane_vpcs.sockets import thread_states

OFFSET = 9
DEFAULT_LPORT = 20000
EARLIEST_ATTEMPT = 0.21
HAND_OVER_UNTIL = 0.10
BOUND_BY = 0.15
LATEST_ATTEMPT = 5.0
THREADS = 5
POLL = 0.05


class Overtaken(Conflict):
    """The port was handed over, but too late to be bound in time; to be tried again."""


class Attempt:
    """One VPCS that will try for its relay socket."""

    def __init__(self, stack: ExitStack, end_guard: Callable[[], None]) -> None:
        self.began = time.monotonic()
        self.over = asyncio.Event()
        self._stack = stack
        self.hand_over = end_guard

    @property
    def age(self) -> float:
        return time.monotonic() - self.began

    def finish(self) -> None:
        self._stack.close()
        self.over.set()


class Relays:
    """The attempts that are still ahead, by the port that they are for."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._attempts: dict[int, Attempt] = {}

    async def make_way(self, lport: int) -> float | None:
        """Return when `lport` can be bound; if it must be soon, until when (time.monotonic)."""
        while (attempt := self._attempts.get(lport)) is not None:
            if attempt.age < HAND_OVER_UNTIL:
                attempt.hand_over()
                return attempt.began + BOUND_BY
            await attempt.over.wait()
        return None

    def take_back(self, lport: int) -> None:
        """Guard `lport` again: it was handed over in vain."""
        attempt = self._attempts.get(lport)
        if attempt is not None:
            attempt.hand_over = attempt._stack.enter_context(self._lab.udp.guard(lport))

    def expect(self, lport: int) -> Attempt:
        """A VPCS with `lport` is about to start: guard the port of its relay. To be finished by `watch` or by hand."""
        number = (lport + OFFSET) & 0xFFFF
        stack = ExitStack()
        attempt = Attempt(stack, stack.enter_context(self._lab.udp.guard(number)))
        if number not in self._attempts:
            self._attempts[number] = attempt
            stack.callback(self._attempts.pop, number)
        return attempt

    async def watch(self, attempt: Attempt, pid: int) -> None:
        """Finish `attempt` once the process has made it: its fifth thread, the relay's, has run and sleeps."""
        try:
            await asyncio.sleep(EARLIEST_ATTEMPT - attempt.age)
            while attempt.age < LATEST_ATTEMPT:
                states = thread_states(pid)
                if len(states) >= THREADS and states[THREADS - 1] == "S":
                    break
                await asyncio.sleep(POLL)
        except OSError:
            pass  # it has ended
        finally:
            attempt.finish()
