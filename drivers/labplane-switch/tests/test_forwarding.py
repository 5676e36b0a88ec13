"""Where frames go: learning, ageing, moving, flooding. The clock is the test's."""

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from labplane_switch.forwarding import MacTable, egress, is_group

A, B, C = (bytes.fromhex(f"0050796668{number:02x}") for number in range(3))
BROADCAST = b"\xff" * 6
MULTICAST = bytes.fromhex("01005e000001")
PORTS = (0, 1, 2, 3)


def frame(destination: bytes, source: bytes) -> bytes:
    return destination + source + b"\x08\x00"


@pytest.fixture
def table() -> MacTable:
    return MacTable(300)


def test_a_frame_for_an_unknown_address_goes_everywhere_but_back(table: MacTable) -> None:
    assert egress(frame(B, A), 1, PORTS, table, 0) == [0, 2, 3]


def test_the_answer_goes_to_the_one_port_that_asked(table: MacTable) -> None:
    egress(frame(B, A), 1, PORTS, table, 0)
    assert egress(frame(A, B), 3, PORTS, table, 0) == (1,)
    assert egress(frame(B, A), 1, PORTS, table, 0) == (3,)


@pytest.mark.parametrize("destination", [BROADCAST, MULTICAST])
def test_broadcast_and_multicast_go_everywhere_but_back_whoever_claimed_to_be_it(
    destination: bytes, table: MacTable
) -> None:
    egress(frame(B, destination), 2, PORTS, table, 0)
    assert table.size(0) == 0
    assert egress(frame(destination, A), 0, PORTS, table, 0) == [1, 2, 3]


def test_a_frame_for_a_neighbour_at_the_same_port_goes_nowhere(table: MacTable) -> None:
    egress(frame(BROADCAST, A), 1, PORTS, table, 0)
    assert egress(frame(A, B), 1, PORTS, table, 0) == ()


def test_an_address_that_moves_is_found_at_its_new_port_at_once(table: MacTable) -> None:
    egress(frame(BROADCAST, A), 1, PORTS, table, 0)
    egress(frame(BROADCAST, A), 2, PORTS, table, 0)
    assert egress(frame(A, B), 0, PORTS, table, 0) == (2,)
    assert table.size(0) == 2


def test_an_address_is_forgotten_when_it_was_silent_for_too_long(table: MacTable) -> None:
    table.learn(A, 1, 0)
    assert table.find(A, 299.9) == 1
    assert table.find(A, 300) is None
    table.learn(A, 1, 299)
    assert table.find(A, 598) == 1
    assert table.size(599) == 0


def test_a_port_that_is_unplugged_takes_its_addresses_along(table: MacTable) -> None:
    for address, port in ((A, 1), (B, 2), (C, 1)):
        table.learn(address, port, 0)
    table.forget(1)
    assert [table.find(address, 0) for address in (A, B, C)] == [None, 2, None]


def test_a_full_table_drops_the_address_that_was_silent_longest() -> None:
    table = MacTable(300, limit=2)
    for address in (A, B, A, C):
        table.learn(address, 0, 0)
    assert [table.find(address, 0) for address in (A, B, C)] == [0, None, 0]


addresses = st.one_of(st.sampled_from([A, B, C, BROADCAST, MULTICAST]), st.binary(min_size=6, max_size=6))


@given(
    st.binary(min_size=14, max_size=60), st.sampled_from(PORTS), st.lists(st.tuples(addresses, st.sampled_from(PORTS)))
)
def test_no_frame_goes_back_or_twice_or_to_a_port_that_is_not_there(
    data: bytes, ingress: int, known: list[tuple[bytes, int]]
) -> None:
    table = MacTable(300)
    for address, port in known:
        table.learn(address, port, 0)
    ports = list(egress(data, ingress, PORTS, table, 0))
    assert ingress not in ports
    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(PORTS)


class Model(RuleBasedStateMachine):
    """The table beside a plain list of all that was ever seen."""

    AGEING = 10
    LIMIT = 4

    def __init__(self) -> None:
        super().__init__()
        self.table = MacTable(self.AGEING, self.LIMIT)
        self.seen: list[tuple[bytes, int, float]] = []  # latest last, each address once
        self.now = 0.0

    @rule(address=addresses, port=st.sampled_from(PORTS))
    def learn(self, address: bytes, port: int) -> None:
        self.table.learn(address, port, self.now)
        if not is_group(address):
            self.seen = [*(one for one in self.seen if one[0] != address), (address, port, self.now)][-self.LIMIT :]

    @rule(port=st.sampled_from(PORTS))
    def forget(self, port: int) -> None:
        self.table.forget(port)
        self.seen = [one for one in self.seen if one[1] != port]

    @rule(seconds=st.floats(0, 6))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def count(self) -> None:
        assert self.table.size(self.now) == len(self.known())

    @rule(address=addresses)
    def find(self, address: bytes) -> None:
        assert self.table.find(address, self.now) == self.known().get(address)

    @invariant()
    def all_that_is_known_is_found(self) -> None:
        assert all(self.table.find(address, self.now) == port for address, port in self.known().items())

    def known(self) -> dict[bytes, int]:
        return {address: port for address, port, when in self.seen if self.now - when < self.AGEING}


TestModel = Model.TestCase
