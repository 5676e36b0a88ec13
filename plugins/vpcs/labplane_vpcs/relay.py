"""The relay sockets of VPCS before 0.8, each at UDP lport + 9, which may be the lport of another VM (Q-5, B-12).

A VPCS tries to bind that port once, no sooner than 0.21 seconds after its start, and does without when the port is
taken. So labplane guards the port until that attempt is over. A VM whose own lport it is gets the port at once while
there is time to bind it before the attempt; otherwise its start waits for the attempt.
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
    """A VPCS could not bind its lport before the port was guarded again; its launch has to be repeated."""


class Binding:
    """A VPCS that is about to bind its lport.

    overtaken: whether it was too slow, so that the port is guarded against the relay of another VPCS.
    """

    def __init__(self) -> None:
        self.overtaken = False


class Attempt:
    """The coming attempt of a VPCS to bind its relay socket, and the guard that makes it fail."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.began = time.monotonic()
        self.number = number
        self.over = asyncio.Event()
        self._lab = lab
        self._guards = False

    @property
    def age(self) -> float:
        """Seconds since just before the start of the program."""
        return time.monotonic() - self.began

    def guard(self) -> None:
        """Keep the program off the port, unless another socket has it already."""
        self._guards = True
        self._lab.udp.guard(self.number)

    def hand_over(self) -> None:
        """Stop guarding, so that the VM whose lport it is can bind the port."""
        if self._guards:
            self._guards = False
            self._lab.udp.unguard(self.number)

    def finish(self) -> None:
        """Stop guarding for good: the program has made its attempt or has ended."""
        self.hand_over()
        self.over.set()


class Relays:
    """The attempts to come and the lports that are being bound, each by its port."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._attempts: dict[int, Attempt] = {}
        self._bindings: dict[int, Binding] = {}

    def rank(self, lport: int | None) -> tuple[int, float]:
        """The place of a waiting launch in the queue; the lowest goes first.

        First come launches whose port can still be handed over. Then comes the highest lport: it is bound before the
        VPCS nine below it makes its attempt. Launches that have to wait for an attempt come last.
        """
        attempt = None if lport is None else self._attempts.get(lport)
        if attempt is None:
            return 1, -(lport or 0)
        return (0 if attempt.age < HAND_OVER_UNTIL else 2), attempt.began

    @asynccontextmanager
    async def binding(self, lport: int | None) -> AsyncIterator[Binding]:
        """Wait until `lport` can be bound; if it is guarded while the block runs, the Binding says so."""
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
        """Guard the relay port of a VPCS that is about to start; lport: its own, None when it has a tap device."""
        number = ((TAP_LPORT if lport is None else lport) + OFFSET) & 0xFFFF
        while (former := self._attempts.get(number)) is not None:
            if lport is not None:  # an earlier attempt of the same VM, whose program has ended
                self.finish(former)
            else:  # VMs with tap devices all have one relay port
                await former.over.wait()
        self._attempts[number] = attempt = Attempt(self._lab, number)
        if number not in self._bindings:
            attempt.guard()
        return attempt

    def finish(self, attempt: Attempt) -> None:
        """Forget `attempt`, which is over."""
        attempt.finish()
        if self._attempts.get(attempt.number) is attempt:
            del self._attempts[attempt.number]

    async def watch(self, attempt: Attempt, pid: int) -> None:
        """Wait for the attempt of the process `pid`, then finish it.

        It is over when the fifth thread of the process, that of its relay, has run and sleeps.
        """
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
