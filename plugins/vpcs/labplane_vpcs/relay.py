"""The hidden relay socket: VPCS before 0.8 takes UDP lport + 9, where a neighbour may want to live (Q-5, B-12).

A VPCS tries for that socket once, no sooner than 0.21 seconds after it was started, and does without when the port is
taken. So the port is guarded until it has tried. A neighbour whose own lport it is gets it at once while there is time
to bind it before the attempt, and waits for the attempt otherwise.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from labplane import Conflict, Lab
from labplane_vpcs.sockets import thread_states

OFFSET = 9
TAP_LPORT = 20000  # what VPCS reckons from when it has no UDP link
HAND_OVER_UNTIL = 0.13
GUARDED_AGAIN_FROM = 0.17
EARLIEST_ATTEMPT = 0.21
LATEST_ATTEMPT = 5.0
RELAY_THREAD = 4
POLL = 0.05


class Overtaken(Conflict):
    """The port was handed over, but could not be bound in time; to be tried again."""


class Binding:
    """One VPCS that is about to bind its lport.

    overtaken: it was too slow: the port is guarded against a neighbour's relay now.
    """

    def __init__(self) -> None:
        self.overtaken = False


class Attempt:
    """One VPCS that will try for its relay socket, and the guard that keeps it from succeeding."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.began = time.monotonic()
        self.number = number
        self.over = asyncio.Event()
        self._lab = lab
        self._guards = False

    @property
    def age(self) -> float:
        """Seconds since the program was about to be started."""
        return time.monotonic() - self.began

    def guard(self) -> None:
        """Keep the program off the port, unless somebody has it."""
        self._guards = True
        self._lab.udp.guard(self.number)

    def hand_over(self) -> None:
        """Let go of the port for a neighbour."""
        if self._guards:
            self._guards = False
            self._lab.udp.unguard(self.number)

    def finish(self) -> None:
        """The program has tried, or has ended."""
        self.hand_over()
        self.over.set()


class Relays:
    """The attempts that are still ahead and the lports that are being bound, each by its port."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._attempts: dict[int, Attempt] = {}
        self._bindings: dict[int, Binding] = {}

    def rank(self, lport: int | None) -> tuple[int, float]:
        """In which order launches that wait should go, lowest first.

        First those whose port can still be handed over, then the highest lport, which is bound before a VPCS nine below
        could want its port for a relay; last those that have to wait for an attempt.
        """
        attempt = None if lport is None else self._attempts.get(lport)
        if attempt is None:
            return 1, -(lport or 0)
        return (0 if attempt.age < HAND_OVER_UNTIL else 2), attempt.began

    @asynccontextmanager
    async def binding(self, lport: int | None) -> AsyncIterator[Binding]:
        """Wait until `lport` can be bound; no guard takes it meanwhile without saying so."""
        binding = Binding()
        if lport is None:
            yield binding
            return
        while (attempt := self._attempts.get(lport)) is not None:
            if attempt.age < HAND_OVER_UNTIL:
                attempt.hand_over()
                break
            await attempt.over.wait()
        self._bindings[lport] = binding
        try:
            yield binding
        finally:
            del self._bindings[lport]

    async def expect(self, lport: int | None) -> Attempt:
        """A VPCS with `lport`, or with a tap device, is about to start: guard the port of its relay."""
        number = ((TAP_LPORT if lport is None else lport) + OFFSET) & 0xFFFF
        while (former := self._attempts.get(number)) is not None:
            if lport is not None:  # of the same VM, which has ended
                self.finish(former)
            else:  # of any VM with a tap device
                await former.over.wait()
        self._attempts[number] = attempt = Attempt(self._lab, number)
        if number not in self._bindings:
            attempt.guard()
        return attempt

    def finish(self, attempt: Attempt) -> None:
        """Nothing more is to be feared of `attempt`."""
        attempt.finish()
        if self._attempts.get(attempt.number) is attempt:
            del self._attempts[attempt.number]

    async def watch(self, attempt: Attempt, pid: int) -> None:
        """Finish `attempt` once the process has made it: its fifth thread, the relay's, has run and sleeps."""
        try:
            await asyncio.sleep(GUARDED_AGAIN_FROM - attempt.age)
            if not attempt.over.is_set():
                if (binding := self._bindings.get(attempt.number)) is not None:
                    binding.overtaken = True
                attempt.guard()
            await asyncio.sleep(EARLIEST_ATTEMPT - attempt.age)
            while attempt.age < LATEST_ATTEMPT and thread_states(pid, RELAY_THREAD) != ["S"]:
                await asyncio.sleep(POLL)
        except OSError:
            pass  # it has ended
        finally:
            self.finish(attempt)
