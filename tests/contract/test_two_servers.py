"""Two servers on one host, with one range of ports: each has its own numbers, and no wire leads to the other."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from expect import nothing, refusal, shown
from machines import show, vms
from support import Server, Viewer, free_range, running


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    consoles, udp = free_range(20), free_range(20, socket.SOCK_DGRAM)
    with (
        running(tmp_path / "one", consoles=consoles, udp=udp) as one,
        running(tmp_path / "two", consoles=consoles, udp=udp) as other,
    ):
        yield one, other


def ping(server: Server, vm: str, address: str) -> bool:
    """Whether that address answers the VM."""
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"VPCS> ")
        viewer.type(f"ping {address} -c 2")
        viewer.until(f"ping {address}".encode())  # after what was said before this viewer came
        said = viewer.until(b"VPCS> ").decode()
    assert ("not reachable" in said) != (f"{address} icmp_seq=1 ttl" in said), said
    return "not reachable" not in said


def test_vpcs_of_two_servers_reach_their_own_peers_and_nobody_else(two: tuple[Server, Server]) -> None:
    """U-3, S-3: though the ends of their links are started in the worst order, so that crossed ones would work."""
    labs = []
    for number, server in enumerate(two):
        pair = server.linked_pair(server.project())
        for host, vm in enumerate(pair, 1):
            shown(server.http.put(vm, json={"startup_script": f"ip 10.0.0.{2 * host + number}"}))
        labs.append(pair)
    for server, vm in (
        (two[0], labs[0][0]),
        (two[1], labs[1][1]),
        (two[0], labs[0][1]),
        (two[1], labs[1][0]),
    ):
        nothing(server.http.post(f"{vm}/start"))
    assert ping(two[0], labs[0][0], "10.0.0.4")
    assert ping(two[1], labs[1][1], "10.0.0.3")
    assert not ping(two[0], labs[0][0], "10.0.0.5")
    assert not ping(two[1], labs[1][1], "10.0.0.2")


def test_two_servers_give_out_no_number_twice(two: tuple[Server, Server]) -> None:
    """U-1, U-2, M-3: whether it is used yet or not."""
    projects = [server.project() for server in two]
    ports, consoles = [], []
    for _ in range(3):
        for server, project in zip(two, projects, strict=True):
            paths = ("/v1/ports/udp", f"{project}/ports/udp")
            ports += [shown(server.http.post(path), 201)["udp_port"] for path in paths]
            server.vm(project)
    for server, project in zip(two, projects, strict=True):
        consoles += [vm["console"] for vm in vms(server, project)]
    assert sorted(ports) == list(range(two[0].udp[0], two[0].udp[0] + 12))
    assert sorted(consoles) == list(range(two[0].consoles[0], two[0].consoles[0] + 6))


def test_what_one_server_gave_out_is_refused_by_the_other(two: tuple[Server, Server]) -> None:
    """M-4, N-5, U-5: until it is given back."""
    one, other = two
    project, elsewhere = one.project(), other.project()
    theirs = one.vm(project)
    lport, console = shown(one.http.post(f"{project}/ports/udp"), 201)["udp_port"], show(one, theirs)["console"]
    vm = other.vm(elsewhere)
    refusal(other.link(vm, lport, 9), 409)
    refusal(other.http.put(vm, json={"console": console}), 409)
    refusal(other.http.post(f"{elsewhere}/vpcs/vms", json={"name": "x", "console": console}), 409)
    nothing(one.http.delete(project))
    assert other.link(vm, lport, 9).status_code == 201
    assert shown(other.http.put(vm, json={"console": console}))["console"] == console


def test_the_numbers_of_a_server_that_was_killed_are_free_at_once(two: tuple[Server, Server]) -> None:
    """S-8."""
    first = shown(two[0].http.post("/v1/ports/udp"), 201)["udp_port"]
    two[0].process.kill()
    two[0].process.wait()
    assert shown(two[1].http.post("/v1/ports/udp"), 201)["udp_port"] == first
