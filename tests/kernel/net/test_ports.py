"""Port pools: the lowest free number, one owner each, nothing lost and nothing hoarded."""

import resource
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from labplane import Conflict
from labplane.errors import Busy, answer_to
from labplane.net import ports as room
from labplane.net.ports import Bind, PortPool, bind_tcp, bind_udp
from support import free_range

FIRST, LAST = 1025, 1034
PATIENCE = 50.0


class Placeholder:
    """What a pool keeps of a number that it holds, on a host that is none."""

    type = socket.SOCK_DGRAM

    def __init__(self, number: int, held: set[int]) -> None:
        assert number not in held
        held.add(number)
        self.number, self._held = number, held

    def close(self) -> None:
        self._held.remove(self.number)


class Host:
    """Ports that programs have: strangers, those that borrow from the pool, and the pool itself."""

    def __init__(self) -> None:
        self.strangers: set[int] = set()
        self.held: set[int] = set()

    def bind(self, number: int) -> Any:
        return None if number in self.strangers | self.held else Placeholder(number, self.held)


class Clock:
    CLOCK_BOOTTIME = 7

    def __init__(self) -> None:
        self.now = 1000.0

    def clock_gettime(self, _: int) -> float:
        return self.now


class Pool(RuleBasedStateMachine):
    """The pool against a dict, a set of strangers' ports and a clock that stands still until it is moved."""

    numbers = st.integers(FIRST - 2, LAST + 2)
    owners = st.sampled_from(["a", "b", "c"])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.host = Host()
        self.strangers = self.host.strangers
        self.leases: dict[int, tuple[str | None, float]] = {}
        self.first, self.last = FIRST, LAST
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(room, "time", self.clock)
        self.pool = PortPool("port", FIRST, LAST, self.host.bind, PATIENCE)

    def teardown(self) -> None:
        self.patch.undo()
        self.pool.close()
        assert not self.host.held

    def expire(self) -> None:
        due = [number for number, (owner, end) in self.leases.items() if owner is None and end <= self.clock.now]
        for number in due:
            del self.leases[number]

    def free(self) -> list[int]:
        return [
            number
            for number in range(self.first, self.last + 1)
            if number not in self.leases and number not in self.strangers
        ]

    def may_claim(self, number: int, owner: str, heir_of: str | None = None) -> bool:
        holder = self.leases.get(number)
        return number not in self.strangers if holder is None else holder[0] in (None, owner, heir_of)

    @rule(owner=st.none() | owners)
    def lease(self, owner: str | None) -> None:
        """U-3: the lowest free; U-4: Conflict when there is none, and only then."""
        self.expire()
        free = self.free()
        if free:
            assert self.pool.lease(owner) == free[0]
            self.leases[free[0]] = (owner, self.clock.now + PATIENCE)
        else:
            with pytest.raises(Conflict, match=f"No port is free in {self.first}-{self.last}"):
                self.pool.lease(owner)

    @rule(number=numbers, owner=owners, heir_of=st.none() | owners)
    def claim(self, number: int, owner: str, heir_of: str | None) -> None:
        """U-5, U-6."""
        self.expire()
        if self.may_claim(number, owner, heir_of) or (number not in self.leases and number < 1024):
            self.pool.claim(number, owner, heir_of=heir_of)
            self.leases[number] = (owner, 0)
        else:
            holder = self.leases.get(number)
            reason = "in use by another program" if holder is None else f"held by {holder[0]}"
            with pytest.raises(Conflict, match=f"{number} is {reason}"):
                self.pool.claim(number, owner, heir_of=heir_of)

    @rule(number=numbers, owner=owners)
    def reserve(self, number: int, owner: str) -> None:
        """M-4."""
        if number >= 1024:
            self.expire()
        if number >= 1024 and self.may_claim(number, owner):
            self.pool.reserve(number, owner)
            self.leases[number] = (owner, 0)
        else:
            with pytest.raises(Conflict):
                self.pool.reserve(number, owner)

    @rule(number=numbers, owner=owners)
    def release(self, number: int, owner: str) -> None:
        self.pool.release(number, owner)
        if self.leases.get(number, (None,))[0] == owner:
            del self.leases[number]

    @rule(owner=owners)
    def release_all(self, owner: str) -> None:
        self.pool.release_all(owner)
        self.leases = {number: lease for number, lease in self.leases.items() if lease[0] != owner}

    @rule(number=numbers)
    def stranger_comes_or_goes(self, number: int) -> None:
        """U-3: it cannot have what the pool holds."""
        if number not in self.host.held:
            self.strangers ^= {number}

    @rule(seconds=st.sampled_from([1, PATIENCE - 1, PATIENCE]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(first=st.integers(FIRST - 1, FIRST + 3), length=st.integers(0, 9))
    def resize(self, first: int, length: int) -> None:
        self.first, self.last = first, first + length
        self.pool.resize(self.first, self.last)

    @rule()
    def all_leases_are_told(self) -> None:
        self.expire()
        assert self.pool.leased() == sorted(self.leases)

    @invariant()
    def leases_agree(self) -> None:
        assert {number: self.pool.owner(number) for number in self.leases} == {
            number: owner for number, (owner, _) in self.leases.items()
        }
        assert len(self.pool) == len(self.leases)
        for owner in ("a", "b", "c"):
            assert self.pool.of(owner) == sorted(n for n, (holder, _) in self.leases.items() if holder == owner)

    @invariant()
    def what_is_leased_is_held_on_the_host_and_nothing_else(self) -> None:
        wanted = {number for number in self.leases if number not in self.strangers}
        # A privileged number may be claimed while somebody else has it, and is not looked at again.
        assert self.host.held <= wanted
        assert {number for number in wanted - self.host.held if number >= 1024} == set()

    @invariant()
    def nothing_is_hoarded(self) -> None:
        assert len(self.pool._returned) == len(self.pool._in_returned) <= self.last - self.first + 1
        assert len(self.pool._unclaimed) <= len(self.leases)


Pool.TestCase.settings = settings(max_examples=60, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])
TestPool = Pool.TestCase


def pool(first: int = FIRST, last: int = LAST, strangers: Collection[int] = (), **more: Any) -> PortPool:
    host = Host()
    host.strangers |= set(strangers)
    return PortPool("UDP port", first, last, host.bind, **more)


def test_every_number_of_the_range_is_usable_ends_included() -> None:
    """U-4, B-1: also the last, when strangers have those before it."""
    mine = pool()
    assert [mine.lease("a") for _ in range(10)] == list(range(FIRST, LAST + 1))
    only_the_last = pool(strangers=range(FIRST, LAST))
    assert only_the_last.lease("a") == LAST


def test_exhaustion_is_a_sentence_that_says_who_has_what() -> None:
    mine = pool(100, 103, strangers=[101])
    for _ in range(3):
        mine.lease("a")
    with pytest.raises(Conflict, match=r"No UDP port is free in 100-103: 3 leased, 1 in use by other programs. Delete"):
        mine.lease("a")


def test_what_a_stranger_gives_back_is_found_again() -> None:
    host = Host()
    host.strangers |= {FIRST, FIRST + 1}
    mine = PortPool("UDP port", FIRST, LAST, host.bind)
    assert mine.lease("a") == FIRST + 2
    host.strangers.clear()
    assert mine.lease("a") == FIRST


def test_a_lease_looks_at_few_of_the_many_numbers_that_another_server_has_and_finds_all_in_the_end() -> None:
    """U-3, U-4: two servers of one range."""
    theirs, host, looks = range(1000, 1500), Host(), 0
    host.strangers |= set(theirs)

    def bind(number: int) -> Any:
        nonlocal looks
        looks += 1
        return host.bind(number)

    mine = PortPool("UDP port", 1000, 2000, bind)
    assert mine.lease("a") == 1500
    looks = 0
    assert [mine.lease("a") for _ in range(400)] == list(range(1501, 1901))
    assert looks <= 400 * 17
    host.strangers -= {1100, 1200}
    found = [mine.lease("a") for _ in range(102)]
    assert sorted(found) == [1100, 1200, *range(1901, 2001)]
    with pytest.raises(Conflict, match="503 leased, 498 in use by other programs"):
        mine.lease("a")
    host.strangers.remove(1499)
    assert mine.lease("a") == 1499


def test_leases_to_nobody_and_claims_leave_no_trace_behind() -> None:
    """Or a client that allocates, links and deletes all day would fill the memory."""
    mine = pool(patience=3600.0)
    for _ in range(10_000):
        number = mine.lease(None)
        mine.claim(number, "a")
        mine.release(number, "a")
    assert len(mine) == 0
    assert sum(len(held) for held in vars(mine).values() if hasattr(held, "__len__")) < 50


def test_another_patience_holds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(room, "time", clock)
    mine = pool(patience=100.0)
    early = mine.lease(None)
    clock.now += 9
    late = mine.lease(None)
    mine.patience = 10.0
    clock.now += 1
    assert mine.lease("a") == early
    clock.now += 9
    assert mine.lease("a") == late


def test_finding_a_port_costs_one_bind_however_many_are_leased() -> None:
    bound: list[int] = []
    host = Host()

    def bind(number: int) -> Any:
        bound.append(number)
        return host.bind(number)

    mine = PortPool("UDP port", 1000, 5000, bind)
    for _ in range(4000):
        mine.lease("a")
    assert len(bound) == 4000


def test_a_number_below_1024_is_reserved_inside_the_range_only() -> None:
    """M-4."""
    mine = pool(1000, 1009)
    mine.reserve(1009, "a")
    for privileged in (1, 999, 1010, 1023):
        with pytest.raises(Conflict, match=f"{privileged} is privileged; choose one from 1024 to 65535"):
            mine.reserve(privileged, "a")
    for number in (1024, 65535):
        mine.reserve(number, "a")
    assert mine.leased() == [1009, 1024, 65535]


@pytest.fixture
def number() -> int:
    return int(free_range(1, socket.SOCK_DGRAM).split("-")[0])


@pytest.fixture
def held(number: int) -> Iterator[PortPool]:
    """A pool of UDP ports that has leased its one number to "a"."""
    held = PortPool("UDP port", number, number, bind_udp)
    assert held.lease("a") == number
    yield held
    held.close()


def can_bind(bind: Bind, number: int) -> bool:
    placeholder = bind(number)
    if placeholder is not None:
        placeholder.close()
    return placeholder is not None


@contextmanager
def stranger(number: int, kind: socket.SocketKind = socket.SOCK_DGRAM, address: str = "127.0.0.1") -> Iterator[None]:
    """A socket of another program, which would share the number."""
    with socket.socket(socket.AF_INET, kind) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((address, number))
        yield


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "127.5.5.5"])
def test_a_number_that_a_stranger_has_at_any_address_is_not_free(number: int, address: str) -> None:
    """U-3: though the stranger would share it."""
    with stranger(number, address=address):
        assert not can_bind(bind_udp, number)
    assert can_bind(bind_udp, number)
    with socket.create_server((address, number)):
        assert not can_bind(bind_tcp, number)
    assert can_bind(bind_tcp, number)


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "127.5.5.5"])
@pytest.mark.parametrize(("bind", "kind"), [(bind_udp, socket.SOCK_DGRAM), (bind_tcp, socket.SOCK_STREAM)])
def test_a_stranger_gets_no_number_that_is_leased(
    number: int, bind: Bind, kind: socket.SocketKind, address: str
) -> None:
    """U-3, M-3: not even one that would share it."""
    mine, theirs = (PortPool("port", number, number, bind) for _ in range(2))
    mine.lease("a")
    with pytest.raises(OSError, match="in use"), stranger(number, kind, address):
        pass
    with pytest.raises(Conflict, match="1 in use by other programs"):
        theirs.lease("b")
    with pytest.raises(Conflict, match=f"The port {number} is in use by another program"):
        theirs.claim(number, "b")
    assert theirs.leased() == []
    mine.release(number, "a")
    with stranger(number, kind, address):
        pass
    assert theirs.lease("b") == number
    theirs.close()


def test_what_is_sent_to_a_number_that_nobody_has_bound_yet_fills_no_memory(held: PortPool, number: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for _ in range(1000):
            peer.sendto(bytes(1400), ("127.0.0.1", number))
    memory = Path("/proc/net/udp").read_text().splitlines()[1:]
    (queued,) = [line.split()[4] for line in memory if line.split()[1].endswith(f":{number:04X}")]
    assert int(queued.partition(":")[2], 16) < 8192


def test_a_tcp_number_in_time_wait_is_free_and_one_with_a_listener_is_not() -> None:
    """M-3."""
    listener = socket.create_server(("127.0.0.1", 0))
    number = listener.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", number))
    served, _ = listener.accept()
    assert not can_bind(bind_tcp, number)
    listener.close()
    served.close()  # the side that closes first is left in TIME_WAIT
    client.close()
    assert can_bind(bind_tcp, number)


def test_a_shared_number_is_listened_at_without_being_let_go(number: int) -> None:
    mine = PortPool("console port", number, number, bind_tcp)
    mine.lease("a")
    assert mine.is_free_on_host(number)
    with mine.shared(number):
        listener = socket.create_server(("127.0.0.1", number))
    assert not mine.is_free_on_host(number)
    with pytest.raises(OSError, match="in use"), stranger(number, socket.SOCK_STREAM, "127.5.5.5"):
        pass
    socket.create_connection(("127.0.0.1", number)).close()
    listener.close()
    assert mine.is_free_on_host(number)
    with pytest.raises(OSError, match="in use"), stranger(number, socket.SOCK_STREAM):
        pass
    mine.close()


@pytest.mark.parametrize("bind", [bind_udp, bind_tcp])
def test_a_privileged_number_that_we_may_not_bind_counts_as_taken(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refusing)
    assert not can_bind(bind, 1)
    mine = PortPool("UDP port", 1000, 1009, bind)
    mine.claim(1, "a")
    assert mine.leased() == [1], "whether it can be bound is for its emulator to say"


def test_a_host_that_cannot_bind_at_all_is_no_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(socket.socket):
        def bind(self, _: object) -> None:
            raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "socket", Broken)
    with pytest.raises(OSError, match="Cannot assign"):
        can_bind(bind_udp, 1)


def test_a_lease_for_which_there_is_no_descriptor_says_so_and_costs_no_number(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    mine = PortPool("UDP port", number, number, bind_udp)
    with Path("/dev/null").open() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno() + 1, hard))
        try:
            for attempt in (lambda: mine.lease("a"), lambda: mine.claim(number, "a")):
                with pytest.raises(OSError, match="Too many open files") as refusal:
                    attempt()
                assert isinstance(answer_to(refusal.value), Busy)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert mine.leased() == []
    assert mine.lease("a") == number
    mine.close()


def test_a_number_that_is_lent_is_its_programs_until_it_is_taken_back(held: PortPool, number: int) -> None:
    held.lend(number)
    with stranger(number):
        held.take_back(number, "b")
        held.take_back(number, "a")
        assert not held.is_free_on_host(number)
    held.lend(number)
    held.take_back(number, "a")
    assert held.is_free_on_host(number)
    assert not can_bind(bind_udp, number)


def test_a_number_whose_former_program_still_has_it_can_be_claimed_and_is_held_at_its_end(
    held: PortPool, number: int
) -> None:
    """N-5: a VM that runs keeps the lport of its former NIO until it ends."""
    held.lend(number)
    with stranger(number):
        held.release(number, "a")
        held.claim(number, "b")
        assert held.owner(number) == "b"
    held.take_back(number, "a")
    assert not can_bind(bind_udp, number)


def test_a_program_that_ends_takes_nothing_from_the_next_one_to_which_its_number_was_lent(
    held: PortPool, number: int
) -> None:
    held.lend(number)
    held.release(number, "a")
    held.claim(number, "b")
    held.lend(number)
    held.take_back(number, "a")
    with stranger(number):
        pass


def test_a_guard_keeps_strangers_off_and_leaves_the_number_leasable(number: int) -> None:
    """Q-5."""
    mine = PortPool("UDP port", number, number, bind_udp)
    for _ in range(2):
        mine.guard(number)
        assert not can_bind(bind_udp, number)
        assert mine.is_free_on_host(number)
    assert mine.lease("a") == number
    mine.unguard(number)
    assert not can_bind(bind_udp, number), "it is leased"
    mine.guard(number)
    mine.release(number, "a")
    assert not can_bind(bind_udp, number), "it is guarded"
    mine.unguard(number)
    assert can_bind(bind_udp, number)


def test_a_guard_gives_way_to_the_program_to_which_the_number_is_lent(held: PortPool, number: int) -> None:
    held.guard(number)
    held.lend(number)
    assert can_bind(bind_udp, number)


def test_a_guard_of_a_number_that_is_taken_guards_nothing(number: int) -> None:
    mine = PortPool("UDP port", number, number, bind_udp)
    with stranger(number):
        mine.guard(number)
        assert not mine.is_free_on_host(number)
    mine.unguard(number)
    assert can_bind(bind_udp, number)
