"""VLANs: which frames a port lets in, in which form they leave, and real PCs that are kept apart."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from far_end import BROADCAST, PC, TYPE, A, B, C, counters, do, join
from labplane_switch.vlans import ALL, TAG, Vlans
from support import Server, running

REST = b"whatever is in it"
BARE = B + A + TYPE + REST
SETTING: dict[int, Any] = {
    0: 10,
    1: 20,
    2: "trunk",
    3: {"native": 10, "allowed": [20, 30]},
    4: {"native": None},
}  # and 5 is an access port of VLAN 1


def tagged(vlan: int, priority: int = 0) -> bytes:
    return B + A + TAG + (priority << 13 | vlan).to_bytes(2, "big") + TYPE + REST


@pytest.mark.parametrize(
    ("ingress", "frame", "vlan"),
    [
        (0, BARE, 10),
        (0, tagged(10), 10),
        (0, tagged(0, 5), 10),
        (0, tagged(20), None),
        (1, BARE, 20),
        (2, BARE, 1),
        (2, tagged(4094), 4094),
        (2, tagged(4095), None),
        (3, BARE, 10),
        (3, tagged(30, 7), 30),
        (3, tagged(1), None),
        (4, BARE, None),
        (4, tagged(0), None),
        (4, tagged(1), 1),
        (5, BARE, 1),
        (5, tagged(2), None),
        (2, tagged(10)[:17], None),
    ],
)
def test_a_port_lets_in_the_frames_of_its_vlans(ingress: int, frame: bytes, vlan: int | None) -> None:
    found = Vlans(SETTING).classified(frame, ingress)
    assert (None if found is None else found.vlan) == vlan
    if found is not None:
        assert found.bare == BARE
        priority = int.from_bytes(frame[14:16], "big") >> 13 if frame[12:14] == TAG else 0
        assert found.tagged == tagged(found.vlan, priority)


@pytest.mark.parametrize(
    ("vlan", "members", "without_tag"),
    [(1, [2, 4, 5], [2, 5]), (10, [0, 2, 3, 4], [0, 3]), (20, [1, 2, 3, 4], [1]), (30, [2, 3, 4], []), (7, [2, 4], [])],
)
def test_a_frame_leaves_at_the_ports_of_its_vlan_with_a_tag_or_without(
    vlan: int, members: list[int], without_tag: list[int]
) -> None:
    vlans = Vlans(SETTING)
    frame = vlans.classified(tagged(vlan), 4)
    assert frame is not None
    assert vlans.members(vlan, range(6)) == members
    assert [number for number in members if vlans.leaving(frame, number) == BARE] == without_tag
    assert all(vlans.leaving(frame, number) == tagged(vlan) for number in members if number not in without_tag)


ports = st.one_of(
    st.sampled_from([1, 2, 3]),
    st.just("trunk"),
    st.fixed_dictionaries(
        {}, optional={"native": st.sampled_from([None, 1, 2]), "allowed": st.lists(st.sampled_from([1, 2, 3]))}
    ),
)


@given(st.dictionaries(st.integers(0, 3), ports), st.integers(0, 3), st.integers(0, 3), st.binary(min_size=14))
def test_what_leaves_at_a_trunk_comes_in_at_one_of_the_same_vlans_as_the_same_frame(
    setting: dict[int, Any], ingress: int, egress: int, frame: bytes
) -> None:
    vlans = Vlans(setting)
    found = vlans.classified(frame, ingress)
    if found is None:
        return
    assert found.vlan in ALL
    if vlans.members(found.vlan, [egress]):
        again = Vlans(setting).classified(vlans.leaving(found, egress), egress)
        assert again is not None
        assert again.bare == found.bare or found.bare[12:14] == TAG  # a tag within a tag is the far end's business


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("vlans") / "projects", "--strict") as server:
        yield server


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    project = server.project()
    yield project
    assert server.http.delete(project).status_code == 204


@pytest.fixture
def pcs(server: Server, project: str) -> Iterator[list[PC]]:
    made = [PC(server, project) for _ in range(4)]
    yield made
    for pc in made:
        pc.socket.close()


def switch_with(server: Server, project: str, pcs: list[PC], **settings: Any) -> str:
    made = server.vm(project, "S", kind="switch", **settings)
    for number, pc in enumerate(pcs):
        join(server, made, number, pc)
    do(server, made, "start")
    return made


def test_frames_stay_in_their_vlan_addresses_too_and_a_change_holds_at_once(
    server: Server, project: str, pcs: list[PC]
) -> None:
    """The address A is at port 0 in VLAN 10, and at port 1 in VLAN 20."""
    switch = switch_with(server, project, pcs, ports=4, vlans={"eth0": 10, "eth1": 20, "eth2": "trunk", "eth3": 20})
    red, blue, trunk, other = pcs
    red.send(BROADCAST + A + TYPE)
    tag = TAG + (10).to_bytes(2, "big")
    assert trunk.hears() == BROADCAST + A + tag + TYPE
    blue.send(BROADCAST + A + TYPE)
    assert trunk.hears() == BROADCAST + A + TAG + (20).to_bytes(2, "big") + TYPE
    assert other.hears() == BROADCAST + A + TYPE
    trunk.send(A + B + tag + TYPE)
    assert red.hears() == A + B + TYPE
    trunk.send(A + B + TYPE)  # without a tag: VLAN 1, of which there is no other port
    red.send(A + B + TAG + (20).to_bytes(2, "big") + TYPE)  # not let in
    other.send(A + C + TYPE)
    assert blue.hears() == A + C + TYPE
    assert all(pc.hears_nothing() for pc in pcs)
    assert [one[4] for one in counters(server, switch)] == [1, 0, 0, 0]

    assert server.http.put(switch, json={"vlans": {"eth0": 20, "eth1": 20}}).status_code == 200
    red.send(A + C + TYPE)  # nobody knows A any more
    assert blue.hears() == A + C + TYPE
    assert all(pc.hears_nothing() for pc in pcs)
    assert server.http.put(switch, json={"vlans": {}}).status_code == 200
    red.send(A + C + tag + TYPE)  # frames with a tag pass as they are
    assert [pc.hears() for pc in (blue, trunk, other)] == [A + C + tag + TYPE] * 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vlans": {"eth9": 1}}, "'vlans' has eth9, and the switch only ports from eth0 to eth7"),
        ({"vlans": {"eth3": 1}, "ports": 2}, "only ports from eth0 to eth1"),
        ({"vlans": {"eth0": 4095}}, "vlans"),
        ({"vlans": {"eth0": {"native": 0}}}, "vlans"),
        ({"vlans": {"0": 1}}, "vlans"),
    ],
)
def test_vlans_that_cannot_be_are_refused(server: Server, project: str, settings: Any, words: str) -> None:
    reply = server.http.post(f"{project}/switch/vms", json={"name": "S", **settings})
    assert reply.status_code == 400
    assert words in reply.json()["message"]
    made = server.vm(project, "S", kind="switch", vlans={"eth7": 2})
    assert server.http.put(made, json={"ports": 4}).status_code == 400
    assert server.http.get(made).json()["ports"] == 8
