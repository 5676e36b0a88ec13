"""Port pools and leases: which number belongs to whom, and which is the lowest free one."""

import errno
import heapq
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress

from labplane.errors import Conflict

Probe = Callable[[int], bool]

LOWEST = 1024  # the first number that needs no privilege
ANYWHERE = "0.0.0.0"  # noqa: S104 - probed for an instant, never listened on


def udp_free(number: int) -> bool:
    """True when no socket on this host has UDP `number`, at any address.

    Without SO_REUSEADDR: two UDP sockets that both set it would share the number (U-3).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return _binds(probe, number)


def tcp_free(number: int) -> bool:
    """True when no socket on this host listens on TCP `number`, at any address.

    With SO_REUSEADDR, so that a connection in TIME_WAIT does not count as a listener (M-3).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _binds(probe, number)


def _binds(probe: socket.socket, number: int, host: str = ANYWHERE) -> bool:
    try:
        probe.bind((host, number))
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise
    return True


class PortPool:
    """The numbers of one range, each free or leased to an owner.

    name:     what the numbers are for, in messages: "UDP port", "console port".
    first, last: the range, ends included.
    probe:    tells whether the host itself has a number free.
    patience: seconds after which a number leased to nobody (owner None) comes back.

    An owner is any hashable object; leases compare owners by equality. Finding the next number costs one
    heap operation and one probe, plus one probe for each lower number that a stranger on this host occupies.
    """

    def __init__(self, name: str, first: int, last: int, probe: Probe, patience: float = 3600.0) -> None:
        self.name = name
        self.first, self.last = first, last
        self.patience = patience
        self._probe = probe
        self._owners: dict[int, Hashable] = {}
        self._fresh = first
        self._returned: list[int] = []
        self._in_returned: set[int] = set()
        self._unclaimed: OrderedDict[int, float] = OrderedDict()  # since when, oldest first
        self._guards: dict[int, socket.socket] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __contains__(self, number: int) -> bool:
        return number in self._owners

    def leased(self) -> list[int]:
        """The numbers that anybody holds, ascending, those outside the range included."""
        self._expire()
        return sorted(self._owners)

    def owner(self, number: int) -> Hashable:
        """Whose lease `number` is. Raises KeyError when it is free."""
        return self._owners[number]

    def of(self, owner: Hashable) -> list[int]:
        """The numbers that `owner` holds, ascending. Looks at every lease."""
        return sorted(number for number, holder in self._owners.items() if holder == owner)

    def lease(self, owner: Hashable) -> int:
        """Lease the lowest free number to `owner`; None means that somebody else will claim it.

        Raises Conflict when the range is exhausted (U-4).
        """
        self._expire()
        occupied = []
        try:
            for number in self._candidates():
                occupied.append(number)
                if self.is_free_on_host(number):
                    occupied.pop()
                    self._owners[number] = owner
                    if owner is None:
                        self._unclaimed[number] = time.monotonic()
                    return number
        finally:
            for number in occupied:
                self._give_back(number)
        raise Conflict(
            f"No {self.name} is free in {self.first}-{self.last}: {len(self._owners)} leased, {len(occupied)} in use "
            "by other programs. Delete what is no longer needed or widen the range in the settings."
        )

    def claim(self, number: int, owner: Hashable, *, heir_of: Hashable = None) -> None:
        """Lease this very number to `owner`, inside the range or not (U-6).

        A number leased to nobody or to `heir_of` is taken over. Raises Conflict when anybody else has it; the host
        is not asked.
        """
        self._expire()
        holder = self._owners.get(number)
        if holder is not None and holder not in (owner, heir_of):
            raise Conflict(f"The {self.name} {number} is held by {holder}.")
        self._owners[number] = owner
        self._unclaimed.pop(number, None)

    def reserve(self, number: int, owner: Hashable) -> None:
        """Lease this very number to `owner`, inside the range or not, if it is free on the host.

        Raises Conflict when it is privileged (below 1024), another owner has it, or another program does (M-4).
        """
        self._expire()
        if number < LOWEST and not self.first <= number <= self.last:
            raise Conflict(f"The {self.name} {number} is privileged; choose one from {LOWEST} to 65535.")
        if number not in self._owners and not self.is_free_on_host(number):
            raise Conflict(f"The {self.name} {number} is in use by another program.")
        self.claim(number, owner)

    def release(self, number: int, owner: Hashable) -> None:
        """Give `number` back. Does nothing when it is not `owner`'s (U-5)."""
        if number in self._owners and self._owners[number] == owner:
            del self._owners[number]
            self._unclaimed.pop(number, None)
            self._give_back(number)

    def release_all(self, owner: Hashable) -> None:
        """Give back everything that `owner` holds."""
        for number in self.of(owner):
            self.release(number, owner)

    def resize(self, first: int, last: int) -> None:
        """Continue with another range; leases stay as they are, wherever they lie."""
        self.first, self.last = first, last
        self._fresh = first
        self._returned.clear()
        self._in_returned.clear()

    def is_free_on_host(self, number: int) -> bool:
        """True when nobody but this pool's own guards has `number` bound."""
        return number in self._guards or self._probe(number)

    def bind(self, end: socket.socket, host: str, number: int) -> bool:
        """Bind a socket of this process, to which a guard of `number` gives way; False when another program has it."""
        if (guard := self._guards.pop(number, None)) is not None:
            guard.close()
        return _binds(end, number, host)

    @contextmanager
    def guard(self, number: int) -> Iterator[Callable[[], None]]:
        """Keep UDP `number` bound meanwhile, if it is free, so that an emulator's stray socket cannot take it.

        The number stays leasable. Yields a function that ends the guard early.
        """
        placeholder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if number not in self._guards:
            with suppress(OSError, OverflowError):
                placeholder.bind((ANYWHERE, number))
                self._guards[number] = placeholder

        def end() -> None:
            placeholder.close()
            if self._guards.get(number) is placeholder:
                del self._guards[number]

        try:
            yield end
        finally:
            end()

    def _candidates(self) -> Iterator[int]:
        while self._returned:
            number = heapq.heappop(self._returned)
            self._in_returned.discard(number)
            if number not in self._owners:
                yield number
        while self._fresh <= self.last:
            number = self._fresh
            self._fresh += 1
            if number not in self._owners:
                yield number

    def _give_back(self, number: int) -> None:
        if self.first <= number < self._fresh and number not in self._in_returned:
            self._in_returned.add(number)
            heapq.heappush(self._returned, number)

    def _expire(self) -> None:
        latest = time.monotonic() - self.patience
        while self._unclaimed:
            number, since = next(iter(self._unclaimed.items()))
            if since > latest:
                break
            self.release(number, None)
