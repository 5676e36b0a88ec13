"""Switches over HTTP, as users have them: three real PCs that ping each other, hot plug, and what is refused."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from far_end import BROADCAST, PC, TYPE, A, B, C, counters, do, join, plug, udp_port, unplug
from support import Server, Viewer, port_is_free, running, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("switch") / "projects", "--strict") as server:
        yield server


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    """A project of which nothing is left when its test is over, the ports of its switches included."""
    project = server.project()
    yield project
    assert server.http.delete(project).status_code == 204
    assert server.children() == []
    assert all(port_is_free(number, socket.SOCK_DGRAM) for number in range(server.udp[0], server.udp[1] + 1))


@pytest.fixture
def pcs(server: Server, project: str) -> Iterator[list[PC]]:
    made = [PC(server, project) for _ in range(3)]
    yield made
    for pc in made:
        pc.socket.close()


def refusal(reply: Any, status: int = 409) -> str:
    assert reply.status_code == status, reply.text
    assert reply.json().keys() == {"status", "message"}
    return str(reply.json()["message"])


@pytest.fixture
def switch(server: Server, project: str, pcs: list[PC]) -> str:
    """A running switch with the three at its ports 0 to 2."""
    switch = server.vm(project, "S", kind="switch")
    for number, pc in enumerate(pcs):
        join(server, switch, number, pc)
    do(server, switch, "start")
    return switch


def test_three_real_pcs_on_one_switch_ping_each_other(server: Server, project: str) -> None:
    switch = server.vm(project, "S", kind="switch")
    machines = []
    with ExitStack() as stack:
        for number in range(3):
            pc = server.vm(project, f"PC{number}")
            ours, theirs = udp_port(server, project), udp_port(server, project)
            assert server.link(pc, ours, theirs).status_code == 201
            assert plug(server, switch, number, theirs, ours).status_code == 201
            do(server, pc, "start")
            machines.append(stack.enter_context(Viewer(server.http.get(pc).json()["console"])))
        do(server, switch, "start")
        for number, viewer in enumerate(machines):
            viewer.until(b"VPCS> ")
            viewer.type(f"ip 10.0.0.{number + 1}")  # looks for duplicates for three seconds: at once on all three
        for number, viewer in enumerate(machines):
            viewer.until(b"10.0.0.%d 255.255.255.0" % (number + 1))
            viewer.until(b"VPCS> ")
        for step in (1, 2):
            others = [(number + step) % 3 + 1 for number in range(3)]
            for viewer, other in zip(machines, others, strict=True):
                viewer.type(f"ping 10.0.0.{other} -c 1")
            for viewer, other in zip(machines, others, strict=True):
                viewer.until(b"10.0.0.%d icmp_seq=1 ttl=64 time=" % other)
                viewer.until(b"VPCS> ")
    shown = server.http.get(switch).json()
    assert shown["mac_table_size"] == 3
    assert all(one["frames_in"] > 0 and one["frames_out"] > 0 for one in shown["counters"][:3])
    assert sum(one["dropped"] for one in shown["counters"]) == 0


def test_a_switch_is_shown_with_its_settings_and_what_passed_through_it(
    server: Server, project: str, switch: str, pcs: list[PC]
) -> None:
    shown = server.http.get(switch).json()
    assert (shown["ports"], shown["ageing_seconds"], shown["mac_table_size"]) == (8, 300, 0)
    assert "console" not in shown
    pcs[0].send(BROADCAST + A + TYPE)
    assert [pcs[1].hears(), pcs[2].hears()] == [BROADCAST + A + TYPE] * 2
    pcs[1].send(A + B + TYPE + b"I")
    assert pcs[0].hears() == A + B + TYPE + b"I"
    assert counters(server, switch)[:4] == [(1, 14, 1, 15, 0), (1, 15, 1, 14, 0), (0, 0, 1, 14, 0), (0, 0, 0, 0, 0)]
    do(server, switch, "stop")
    assert counters(server, switch)[0] == (1, 14, 1, 15, 0), "to be read until it is started again"
    assert server.http.get(switch).json()["mac_table_size"] == 0
    do(server, switch, "start")
    assert counters(server, switch) == [(0, 0, 0, 0, 0)] * 8


def test_nobody_but_the_far_end_can_put_frames_in(server: Server, switch: str, pcs: list[PC]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(BROADCAST + C + TYPE, ("127.0.0.1", pcs[0].lport))
    pcs[0].send(BROADCAST + A + TYPE)
    assert pcs[1].hears() == BROADCAST + A + TYPE
    assert counters(server, switch)[0][0] == 1


def test_a_port_is_plugged_and_unplugged_while_the_switch_runs(
    server: Server, project: str, switch: str, pcs: list[PC]
) -> None:
    pcs[2].send(BROADCAST + C + TYPE)
    assert pcs[0].hears() == pcs[1].hears() == BROADCAST + C + TYPE
    unplug(server, switch, 2)
    assert port_is_free(pcs[2].lport, socket.SOCK_DGRAM)
    assert server.http.get(switch).json()["mac_table_size"] == 0
    pcs[0].send(C + A + TYPE)
    assert pcs[1].hears() == C + A + TYPE, "nobody knows any more where C is"
    join(server, switch, 7, pcs[2])
    pcs[0].send(C + A + TYPE + b"again")
    assert pcs[1].hears() == pcs[2].hears() == C + A + TYPE + b"again"
    assert server.http.get(switch).json()["status"] == "started"


def test_a_port_that_runs_gets_another_far_end_with_the_same_or_another_lport(
    server: Server, project: str, switch: str, pcs: list[PC]
) -> None:
    first = pcs[1].lport
    other = PC(server, project)
    with other.socket:
        for lport in (first, other.lport):
            assert plug(server, switch, 1, lport, other.rport).status_code == 201
            other.lport = lport
            pcs[0].send(BROADCAST + A + TYPE)
            assert other.hears() == BROADCAST + A + TYPE
            other.send(A + B + TYPE)
            assert pcs[0].hears() == A + B + TYPE
            assert pcs[1].hears_nothing()
    assert port_is_free(first, socket.SOCK_DGRAM)


def test_a_new_link_that_cannot_be_had_leaves_the_old_one_at_work(
    server: Server, project: str, switch: str, pcs: list[PC]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("0.0.0.0", 0))
        taken = stranger.getsockname()[1]
        words = f"The UDP port {taken} is in use by another program"
        assert words in refusal(plug(server, switch, 1, taken, 9))
        assert words in refusal(plug(server, switch, 5, taken, 9))
    assert "cannot be linked to 127.255.255.255:9" in refusal(
        plug(server, switch, 1, pcs[1].lport, 9, "127.255.255.255")
    )
    assert "rhost" in refusal(plug(server, switch, 1, pcs[1].lport, 9, "256.1.1.1"), 400)
    pcs[0].send(BROADCAST + A + TYPE)
    assert pcs[1].hears() == BROADCAST + A + TYPE
    pcs[1].send(A + B + TYPE)
    assert pcs[0].hears() == A + B + TYPE


def test_a_start_that_fails_opens_nothing(server: Server, project: str) -> None:
    switch = server.vm(project, "S", kind="switch")
    lports = [udp_port(server, project) for _ in range(3)]
    for number, lport in enumerate(lports):
        assert plug(server, switch, number, lport, 9).status_code == 201
    assert plug(server, switch, 2, lports[2], 9, "127.255.255.255").status_code == 201
    before = server.descriptors()
    assert "cannot be linked to 127.255.255.255:9" in refusal(server.http.post(f"{switch}/start"))
    assert server.http.get(switch).json()["status"] == "stopped"
    assert len(server.descriptors()) == len(before)
    assert plug(server, switch, 2, lports[2], 9).status_code == 201
    for action in ("start", "stop"):
        do(server, switch, action)
        assert not any(port_is_free(lport, socket.SOCK_DGRAM) for lport in lports)
    assert server.http.delete(switch).status_code == 204
    assert all(port_is_free(lport, socket.SOCK_DGRAM) for lport in lports)


def test_a_switch_cannot_lose_a_port_that_is_plugged(server: Server, project: str, switch: str) -> None:
    assert refusal(server.http.put(switch, json={"ports": 2})).startswith("Port 2 of adapter 0 of switch 'S'")
    assert server.http.get(switch).json()["ports"] == 8
    assert server.http.put(switch, json={"ports": 3}).json()["ports"] == 3
    assert "has no port 3" in refusal(plug(server, switch, 3, udp_port(server, project), 9))
    unplug(server, switch, 2)
    assert len(server.http.put(switch, json={"ports": 2}).json()["counters"]) == 2
    assert server.http.put(switch, json={"ports": 64}).status_code == 200
    assert plug(server, switch, 63, udp_port(server, project), 9).status_code == 201


@pytest.mark.parametrize(
    "body", [{"ports": 0}, {"ports": 65}, {"ports": None}, {"ports": "8"}, {"ageing_seconds": 0}, {"console": 2000}]
)
def test_settings_that_no_switch_has_are_refused(server: Server, project: str, body: dict[str, Any]) -> None:
    refusal(server.http.post(f"{project}/switch/vms", json={"name": "S", **body}), 400)
    assert server.http.get(f"{project}/switch/vms").json() == []


def test_a_new_ageing_time_counts_at_once(server: Server, switch: str, pcs: list[PC]) -> None:
    pcs[0].send(BROADCAST + A + TYPE)
    pcs[1].hears()
    assert server.http.get(switch).json()["mac_table_size"] == 1
    assert server.http.put(switch, json={"ageing_seconds": 1}).status_code == 200
    until(lambda: server.http.get(switch).json()["mac_table_size"] == 0, "the end of an address that is silent")


def test_a_vpcs_whose_relay_would_be_at_a_port_of_the_switch_takes_it_from_nobody(server: Server, project: str) -> None:
    """Q-5, B-12: lport + 9 is guarded right after the start of a VPCS, and the switch gets it at once all the same."""
    lport = server.udp[0] + 20
    for order in (("pc", "switch"), ("switch", "pc")):
        vms = {"pc": server.vm(project, "PC"), "switch": server.vm(project, "S", kind="switch")}
        assert server.link(vms["pc"], lport, 9).status_code == 201
        assert plug(server, vms["switch"], 0, lport + 9, 9).status_code == 201
        for name in order:
            do(server, vms[name], "start")
        assert [server.http.get(vm).json()["status"] for vm in vms.values()] == ["started", "started"]
        assert not port_is_free(lport + 9, socket.SOCK_DGRAM)
        for vm in vms.values():
            assert server.http.delete(vm).status_code == 204


def test_a_switch_ends_with_its_project_and_with_its_server(tmp_path: Any) -> None:
    with running(tmp_path / "projects") as server:
        lports = []
        for _ in range(2):
            project = server.project()
            switch = server.vm(project, "S", kind="switch")
            lports.append(udp_port(server, project))
            assert plug(server, switch, 0, lports[-1], 9).status_code == 201
            do(server, switch, "start")
        assert server.http.post(f"{project}/close").status_code == 204
        assert [port_is_free(lport, socket.SOCK_DGRAM) for lport in lports] == [False, True]
        server.stop()
        assert port_is_free(lports[0], socket.SOCK_DGRAM)
        assert "Traceback" not in server.log


def test_a_loop_storms_until_a_link_is_unplugged_and_the_server_answers_all_the_while(
    server: Server, project: str, pcs: list[PC]
) -> None:
    """There is no spanning tree; three links between two switches multiply a broadcast without end."""
    switches = [server.vm(project, name, kind="switch") for name in ("S1", "S2")]
    join(server, switches[0], 0, pcs[0])
    for number in (1, 2, 3):
        one, other = udp_port(server, project), udp_port(server, project)
        assert plug(server, switches[0], number, one, other).status_code == 201
        assert plug(server, switches[1], number, other, one).status_code == 201
    for switch in switches:
        do(server, switch, "start")
    pcs[0].send(BROADCAST + A + TYPE)

    def passed() -> int:
        return counters(server, switches[1])[1][0]

    until(lambda: passed() > 10_000, "the storm")
    unplug(server, switches[0], 1)
    unplug(server, switches[0], 2)
    until(lambda: passed() == passed(), "the calm after it")
