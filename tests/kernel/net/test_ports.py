"""Port pools: the lowest free number, one owner each, nothing lost and nothing hoarded."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from labplane import Conflict
from labplane.net import ports as room
from labplane.net.ports import PortPool, tcp_free, udp_free
from support import free_range

FIRST, LAST = 1025, 1034
PATIENCE = 50.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Pool(RuleBasedStateMachine):
    """The pool against a dict, a set of strangers' ports and a clock that stands still until it is moved."""

    numbers = st.integers(FIRST - 2, LAST + 2)
    owners = st.sampled_from(["a", "b", "c"])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.strangers: set[int] = set()
        self.leases: dict[int, tuple[str | None, float]] = {}
        self.first, self.last = FIRST, LAST
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(room, "time", self.clock)
        self.pool = PortPool("port", FIRST, LAST, lambda number: number not in self.strangers, PATIENCE)

    def teardown(self) -> None:
        self.patch.undo()

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
        holder = self.leases.get(number, (None, 0))[0]
        if holder in (None, owner, heir_of):
            self.pool.claim(number, owner, heir_of=heir_of)
            self.leases[number] = (owner, 0)
        else:
            with pytest.raises(Conflict, match=f"{number} is held by {holder}"):
                self.pool.claim(number, owner, heir_of=heir_of)

    @rule(number=numbers, owner=owners)
    def reserve(self, number: int, owner: str) -> None:
        """M-4."""
        self.expire()
        holder = self.leases.get(number)
        if number >= 1024 and (number not in self.strangers if holder is None else holder[0] in (None, owner)):
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
    def nothing_is_hoarded(self) -> None:
        assert len(self.pool._returned) == len(self.pool._in_returned) <= self.last - self.first + 1
        assert len(self.pool._unclaimed) <= len(self.leases)


Pool.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestPool = Pool.TestCase


def pool(first: int = FIRST, last: int = LAST, **more: Any) -> PortPool:
    return PortPool("UDP port", first, last, more.pop("probe", lambda _: True), **more)


def test_every_number_of_the_range_is_usable_ends_included() -> None:
    """U-4, B-1: also the last, when strangers have those before it."""
    mine = pool()
    assert [mine.lease("a") for _ in range(10)] == list(range(FIRST, LAST + 1))
    only_the_last = pool(probe=lambda number: number == LAST)
    assert only_the_last.lease("a") == LAST


def test_exhaustion_is_a_sentence_that_says_who_has_what() -> None:
    mine = pool(100, 103, probe=lambda number: number != 101)
    for _ in range(3):
        mine.lease("a")
    with pytest.raises(Conflict, match=r"No UDP port is free in 100-103: 3 leased, 1 in use by other programs. Delete"):
        mine.lease("a")


def test_what_a_stranger_gives_back_is_found_again() -> None:
    strangers = {FIRST, FIRST + 1}
    mine = pool(probe=lambda number: number not in strangers)
    assert mine.lease("a") == FIRST + 2
    strangers.clear()
    assert mine.lease("a") == FIRST


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


def test_finding_a_port_costs_one_probe_however_many_are_leased() -> None:
    probed: list[int] = []
    mine = pool(1000, 5000, probe=lambda number: not probed.append(number))  # type: ignore[func-returns-value]
    for _ in range(4000):
        mine.lease("a")
    assert len(probed) == 4000


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
def bound(number: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", number))
        yield other


def test_a_udp_number_that_anybody_has_at_any_address_is_not_free(number: int, bound: socket.socket) -> None:
    assert not udp_free(number)
    bound.close()
    assert udp_free(number)


def test_a_udp_number_is_not_free_though_its_holder_would_share_it(number: int) -> None:
    """U-3."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", number))
        assert not udp_free(number)


def test_a_tcp_number_in_time_wait_is_free_and_one_with_a_listener_is_not() -> None:
    """M-3."""
    listener = socket.create_server(("127.0.0.1", 0))
    number = listener.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", number))
    served, _ = listener.accept()
    assert not tcp_free(number)
    listener.close()
    served.close()  # the side that closes first is left in TIME_WAIT
    client.close()
    assert tcp_free(number)


def test_a_privileged_number_that_we_may_not_bind_counts_as_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refusing)
    assert not udp_free(1)
    assert not tcp_free(1)


def test_a_host_that_cannot_bind_at_all_is_no_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(socket.socket):
        def bind(self, _: object) -> None:
            raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "socket", Broken)
    with pytest.raises(OSError, match="Cannot assign"):
        udp_free(1)


def test_a_guard_keeps_strangers_off_and_leaves_the_number_leasable(number: int) -> None:
    """Q-5."""
    mine = PortPool("UDP port", number, number, udp_free)
    with mine.guard(number) as end:
        assert not udp_free(number)
        assert mine.is_free_on_host(number)
        with mine.guard(number):
            assert not udp_free(number)
        assert not udp_free(number), "the inner one had nothing to end"
        assert mine.lease("a") == number
        end()
        assert udp_free(number)
    assert udp_free(number)


@pytest.mark.parametrize("beyond", [65536, 70000])
def test_a_guard_of_a_number_that_is_taken_or_none_guards_nothing(
    beyond: int, number: int, bound: socket.socket
) -> None:
    mine = PortPool("UDP port", number, number, udp_free)
    with mine.guard(number), mine.guard(beyond):
        assert not mine.is_free_on_host(number)
