"""Port pools: which number belongs to whom, which is the lowest free one, and sockets that keep others off them."""

import errno
import heapq
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice

from labplane.errors import Conflict

Bind = Callable[[int], socket.socket | None]

LOOKS = 16  # at numbers that other programs had, for each lease
LOWEST = 1024  # the first number that needs no privilege
ANYWHERE = "0.0.0.0"  # noqa: S104 - to keep a number from others at every address; nothing is read there


def boottime() -> float:
    """Seconds since the system was started, those in which it slept included; the same for each process on it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def bind_udp(number: int) -> socket.socket | None:
    """A socket that has UDP `number` at every address, None when another socket on this host has it at any.

    Without SO_REUSEADDR: two UDP sockets that both set it would share the number (U-3).
    """
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if not _bound(end, ANYWHERE, number):
        return None
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # nobody reads what is sent there
    return end


def bind_tcp(number: int) -> socket.socket | None:
    """A socket that has TCP `number` at every address and does not listen, None when another socket here has it at any.

    A connection in TIME_WAIT does not count (M-3).
    """
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not _bound(end, ANYWHERE, number):
        return None
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return end


def _bound(end: socket.socket, host: str, number: int) -> bool:
    """Bind `end`; False, with `end` closed, when another socket has the number or this user must not have it."""
    try:
        end.bind((host, number))
    except OSError as error:
        end.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise
    return True


def _let_go(placeholder: socket.socket) -> None:
    """Close a placeholder. A program that is just being started may have a copy, which must keep nobody off TCP."""
    if placeholder.type == socket.SOCK_STREAM:
        placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    placeholder.close()


class PortPool:
    """The numbers of one range, each free or leased to an owner.

    name:     what the numbers are for, in messages: "UDP port", "console port".
    first, last: the range, ends included.
    bind:     makes a placeholder, a socket that keeps other programs off a number; `bind_udp` or `bind_tcp`.
    patience: seconds after which a number leased to nobody (owner None) comes back.
    on_change: is told of each number whose lease begins, ends or gets another owner.

    A number that is leased has a placeholder, but while it is lent to the program that shall bind it.

    An owner is any hashable object; leases compare owners by equality. Finding the next number costs one
    heap operation and one bind, plus one bind each for up to 16 lower numbers that other programs on this host have.
    When they have more, as another server of the same range may, each lease looks at others of them.
    """

    def __init__(self, name: str, first: int, last: int, bind: Bind, patience: float = 3600.0) -> None:
        self.name = name
        self.first, self.last = first, last
        self.patience = patience
        self.on_change: Callable[[int], None] = lambda number: None
        self._bind = bind
        self._owners: dict[int, Hashable] = {}
        self._numbers: dict[Hashable, int | set[int]] = {}  # of each owner; most have one, and sets are large
        self._fresh = first
        self._returned: list[int] = []
        self._in_returned: set[int] = set()
        self._occupied: dict[int, None] = {}  # by other programs, when last looked at; longest ago first
        self._unclaimed: OrderedDict[int, float] = OrderedDict()  # since when, oldest first
        self._placeholders: dict[int, socket.socket] = {}
        self._lent: dict[int, Hashable] = {}  # and to whom
        self._guarded: set[int] = set()

    def __len__(self) -> int:
        return len(self._owners)

    def __contains__(self, number: int) -> bool:
        return number in self._owners

    def leased(self) -> list[int]:
        """The numbers that are leased, ascending, those outside the range included."""
        self._expire()
        return sorted(self._owners)

    def owner(self, number: int) -> Hashable:
        """The owner of the lease of `number`. Raises KeyError when it is free."""
        return self._owners[number]

    def of(self, owner: Hashable) -> list[int]:
        """The numbers that `owner` holds, ascending."""
        numbers = self._numbers.get(owner, set())
        return sorted(numbers) if isinstance(numbers, set) else [numbers]

    def lease(self, owner: Hashable) -> int:
        """Lease the lowest free number to `owner`; None means that a later `claim` tells the owner.

        Raises Conflict when the range is exhausted (U-4), OSError when there can be no further socket.
        """
        self._expire()
        for number in self._candidates():
            self._occupied[number] = None
            if self._hold(number):
                del self._occupied[number]
                if owner is None:
                    self._unclaimed[number] = boottime()
                self._assign(number, owner)
                return number
        others = sum(number not in self._owners for number in self._occupied)
        raise Conflict(
            f"No {self.name} is free in {self.first}-{self.last}: {len(self._owners)} leased, {others} in use "
            "by other programs. Delete what is no longer needed or widen the range in the settings."
        )

    def claim(self, number: int, owner: Hashable, *, heir_of: Hashable = None) -> None:
        """Lease this very number to `owner`, inside the range or not (U-6).

        A number leased to nobody or to `heir_of` is taken over. Raises Conflict when another owner has it or another
        program does. A program that still has it although its lease has ended does not count, nor does a number that
        this user must not bind: whether those can be used turns out when they are.
        """
        self._expire()
        holder = self._owners.get(number)
        if holder is not None and holder not in (owner, heir_of):
            raise Conflict(f"The {self.name} {number} is held by {holder}.")
        if number not in self._owners and not self._hold(number) and number not in self._lent and number >= LOWEST:
            raise Conflict(f"The {self.name} {number} is in use by another program; choose another one.")
        self._unclaimed.pop(number, None)
        self._assign(number, owner)

    def reserve(self, number: int, owner: Hashable) -> None:
        """Lease this very number to `owner`, inside the range or not, unless that needs a privilege (M-4).

        Raises Conflict as `claim` does, and when the number lies below 1024 and outside the range.
        """
        if number < LOWEST and not self.first <= number <= self.last:
            raise Conflict(f"The {self.name} {number} is privileged; choose one from {LOWEST} to 65535.")
        self.claim(number, owner)

    def restore(self, number: int, owner: Hashable, since: float | None = None) -> bool:
        """Lease `number` to `owner`, who had it before, even if another program has it now; False when others lease it.

        since: when it was leased to nobody, as of `boottime`; the earliest is to be restored first.
        """
        if number in self._owners:
            return self._owners[number] == owner
        if owner is None:
            self._unclaimed[number] = boottime() if since is None else since
        self._assign(number, owner)
        self._settle(number)
        return True

    def unclaimed_since(self, number: int) -> float | None:
        """When `number` was leased to nobody, as of `boottime`; None when it is not, or has an owner."""
        return self._unclaimed.get(number)

    def release(self, number: int, owner: Hashable) -> None:
        """Give `number` back. Does nothing when it is not `owner`'s (U-5)."""
        if number in self._owners and self._owners[number] == owner:
            self._unassign(number)
            self._unclaimed.pop(number, None)
            self._settle(number)
            self._give_back(number)
            self.on_change(number)

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
        self._occupied.clear()

    def close(self) -> None:
        """Let go of all numbers on the host; leases stay. To be called at the end."""
        for placeholder in self._placeholders.values():
            _let_go(placeholder)
        self._placeholders.clear()

    def is_free_on_host(self, number: int) -> bool:
        """True when no socket on this host has `number`, other than the placeholder of this pool."""
        with self.shared(number):
            held = self._placeholders.get(number)
            if held is not None and held.type == socket.SOCK_DGRAM:
                return True
            probe = self._bind(number)
        if probe is not None:
            _let_go(probe)
        return probe is not None

    def lend(self, number: int) -> None:
        """Make way for a program of the owner of `number`, which is about to bind it, until `take_back`."""
        self._lent[number] = self._owners.get(number)
        self._guarded.discard(number)
        self._settle(number)

    def take_back(self, number: int, owner: Hashable) -> None:
        """Keep others off `number` again, if it is leased: the program of `owner`, to which it was lent, has ended."""
        if number in self._lent and self._lent[number] == owner:
            del self._lent[number]
            self._settle(number)

    def bind(self, end: socket.socket, host: str, number: int) -> bool:
        """Bind a socket of this process to `number`, which is thereby lent; False when another program has it."""
        self.lend(number)
        try:
            end.bind((host, number))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True

    @contextmanager
    def shared(self, number: int) -> Iterator[None]:
        """Let other sockets with SO_REUSEADDR bind TCP `number`, beside the placeholder, while the block runs.

        So a listener gets the number without a moment in which nobody has it. Nothing else has to be let go.
        """
        held = self._placeholders.get(number)
        if held is None or held.type != socket.SOCK_STREAM:
            yield
            return
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            yield
        finally:
            if held.fileno() >= 0:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)

    def guard(self, number: int) -> None:
        """Keep others off `number` although nobody leases it, or although it is lent, if nobody has bound it yet.

        It stays leasable. `unguard` ends that, and so does lending it.
        """
        self._guarded.add(number)
        self._settle(number)

    def unguard(self, number: int) -> None:
        """End what `guard` began."""
        self._guarded.discard(number)
        self._settle(number)

    def _assign(self, number: int, owner: Hashable) -> None:
        if number in self._owners:
            self._unassign(number)
        self._owners[number] = owner
        numbers = self._numbers.setdefault(owner, number)
        if isinstance(numbers, set):
            numbers.add(number)
        elif numbers != number:
            self._numbers[owner] = {numbers, number}
        self.on_change(number)

    def _unassign(self, number: int) -> None:
        owner = self._owners.pop(number)
        numbers = self._numbers[owner]
        if isinstance(numbers, set) and len(numbers) > 1:
            numbers.discard(number)
        else:
            del self._numbers[owner]

    def _hold(self, number: int) -> bool:
        """Have a placeholder at `number`; False when another program has it."""
        if number not in self._placeholders:
            placeholder = self._bind(number)
            if placeholder is None:
                return False
            self._placeholders[number] = placeholder
            self._lent.pop(number, None)
        return True

    def _settle(self, number: int) -> None:
        """Have a placeholder at `number`, if there can be one, or none, as its state wants it."""
        if number in self._guarded or (number in self._owners and number not in self._lent):
            with suppress(OSError):
                self._hold(number)
        elif (placeholder := self._placeholders.pop(number, None)) is not None:
            _let_go(placeholder)

    def _candidates(self) -> Iterator[int]:
        """The numbers that may be free, lowest first, but for most of those that others had: they come last."""
        for number in list(islice(self._occupied, LOOKS)):
            del self._occupied[number]
            self._give_back(number)
        tried = set()
        for number in self._untried():
            tried.add(number)
            yield number
        yield from sorted(self._occupied.keys() - tried - self._owners.keys())

    def _untried(self) -> Iterator[int]:
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
        latest = boottime() - self.patience
        while self._unclaimed:
            number, since = next(iter(self._unclaimed.items()))
            if since > latest:
                break
            self.release(number, None)
