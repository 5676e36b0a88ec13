"""Section 6 of docs/api.md over HTTP: UDP ports and network interfaces."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from host import taken
from support import Server, free_range, running


@pytest.fixture
def project(small_server: Server) -> Iterator[str]:
    """A project whose end gives back what its test took."""
    project = small_server.project()
    yield project
    reply = small_server.http.delete(project)
    assert reply.status_code in (204, 404)


def allocate(server: Server, project: str = "/v1") -> int:
    reply = shown(server.http.post(f"{project}/ports/udp", json={}), 201)
    assert set(reply) == {"udp_port"}
    number = reply["udp_port"]
    assert isinstance(number, int)
    return number


def remaining(server: Server, project: str) -> list[int]:
    """What can still be allocated, in the order in which it came."""
    numbers = []
    while (reply := server.http.post(f"{project}/ports/udp")).status_code == 201:
        numbers.append(reply.json()["udp_port"])
    refusal(reply, 409)
    return numbers


def test_ports_come_lowest_first_from_a_range_whose_ends_count(small_server: Server, project: str) -> None:
    """U-2, U-3, U-4: every number can be had, and then there is none."""
    first, last = small_server.udp
    assert remaining(small_server, project) == list(range(first, last + 1))


@pytest.mark.parametrize("occupied", [[0], [3], [2], [0, 1], [1, 3]])
def test_numbers_that_strangers_occupy_are_skipped_and_all_others_usable(
    small_server: Server, project: str, occupied: list[int]
) -> None:
    """U-3, U-4, B-1: the last one too when the last but one is occupied."""
    first = small_server.udp[0]
    with ExitStack() as strangers:
        for offset in occupied:
            strangers.enter_context(taken(first + offset, socket.SOCK_DGRAM))
        assert remaining(small_server, project) == [first + offset for offset in range(4) if offset not in occupied]
    assert remaining(small_server, project) == [first + offset for offset in occupied]


def test_a_stranger_on_one_address_occupies_the_number(small_server: Server, project: str) -> None:
    """U-3: tested by binding 0.0.0.0, and without SO_REUSEADDR."""
    first = small_server.udp[0]
    with taken(first, socket.SOCK_DGRAM, "127.0.0.1"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reusing:
        reusing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reusing.bind(("0.0.0.0", first + 1))
        assert remaining(small_server, project) == [first + 2, first + 3]


def test_a_port_goes_back_with_its_project_at_the_latest(small_server: Server) -> None:
    """U-2, U-5: at close and at delete."""
    for end in ("POST", "/close"), ("DELETE", ""):
        project = small_server.project()
        assert allocate(small_server, project) == small_server.udp[0]
        nothing(small_server.http.request(end[0], project + end[1]))
        refusal(small_server.http.post(f"{project}/ports/udp"), 404)


def test_a_port_goes_back_when_its_nio_is_deleted(small_server: Server, project: str) -> None:
    """U-5, N-6."""
    vm, number = small_server.vm(project), allocate(small_server, project)
    assert small_server.link(vm, number, 9).status_code == 201
    assert allocate(small_server, project) == number + 1
    nothing(small_server.http.delete(f"{vm}/adapters/0/ports/0/nio"))
    assert allocate(small_server, project) == number
    nothing(small_server.http.delete(f"{vm}/adapters/0/ports/0/nio"))
    assert allocate(small_server, project) == number + 2


def test_a_port_goes_back_when_its_nio_is_replaced(small_server: Server, project: str) -> None:
    """U-5, N-5, B-2; but not when the new one uses it too."""
    vm, one, two = small_server.vm(project), allocate(small_server, project), allocate(small_server, project)
    assert small_server.link(vm, one, 9).status_code == 201
    assert small_server.link(vm, one, 10).status_code == 201
    assert allocate(small_server, project) == two + 1
    assert small_server.link(vm, two, 9).status_code == 201
    assert allocate(small_server, project) == one


def test_a_port_goes_back_when_a_tap_replaces_its_nio(small_server: Server, project: str) -> None:
    """U-5, N-5."""
    vm, number = small_server.vm(project), allocate(small_server, project)
    assert small_server.link(vm, number, 9).status_code == 201
    tap = {"type": "nio_tap", "tap_device": "tap0"}
    reply = small_server.http.post(f"{vm}/adapters/0/ports/0/nio", json=tap)
    if reply.status_code == 403:
        pytest.fail("this server refuses taps, so that nothing can be tested here")
    assert allocate(small_server, project) == number


def test_a_port_goes_back_when_its_vm_is_deleted(small_server: Server, project: str) -> None:
    """U-5, M-12."""
    vm, number = small_server.vm(project), allocate(small_server, project)
    assert small_server.link(vm, number, 9).status_code == 201
    nothing(small_server.http.delete(vm))
    assert allocate(small_server, project) == number


def test_a_port_that_belongs_to_no_project_is_taken_over_by_the_nio_that_uses_it(small_server: Server) -> None:
    """U-1, U-5, O-1: from then on it goes the way of its VM."""
    project, number = small_server.project(), allocate(small_server)
    assert small_server.link(small_server.vm(project), number, 9).status_code == 201
    nothing(small_server.http.delete(project))
    again = small_server.project()
    assert allocate(small_server, again) == number
    nothing(small_server.http.delete(again))


def test_only_the_owner_of_a_port_can_release_it(small_server: Server, project: str) -> None:
    """U-5, B-2: neither the VM of another project nor another VM of the same one."""
    owner, other = small_server.vm(project, "owner"), small_server.project()
    stranger, sibling = small_server.vm(other, "stranger"), small_server.vm(project, "sibling")
    number = allocate(small_server, project)
    assert small_server.link(owner, number, 9).status_code == 201
    for thief in (stranger, sibling):
        refusal(small_server.link(thief, number, 9), 409)
        nothing(small_server.http.delete(f"{thief}/adapters/0/ports/0/nio"))
        nothing(small_server.http.delete(thief))
    nothing(small_server.http.delete(other))
    assert allocate(small_server, project) == number + 1


def test_a_port_of_another_project_cannot_be_used(small_server: Server, project: str) -> None:
    """U-5, B-2: even while no NIO uses it."""
    other = small_server.project()
    number = allocate(small_server, other)
    refusal(small_server.link(small_server.vm(project), number, 9), 409)
    nothing(small_server.http.delete(other))


@pytest.mark.parametrize("mine", [0, 1])
@pytest.mark.parametrize("theirs", ["the other one", "a port of theirs", "nothing"])
def test_ports_of_no_project_wire_no_two_projects_together(
    small_server: Server, project: str, mine: int, theirs: str
) -> None:
    """U-1: whoever plugs the first of two, in that project they stay; a stranger's guess makes no link to it."""
    ports = [allocate(small_server) for _ in range(2)]
    one, other = ports[mine], ports[1 - mine]
    stranger = small_server.project()
    far = {"the other one": other, "a port of theirs": allocate(small_server, stranger), "nothing": 9}[theirs]
    assert small_server.link(small_server.vm(stranger), one, far).status_code == 201
    vms = small_server.vm(project), small_server.vm(project)
    assert "held by vpcs" in refusal(small_server.link(vms[0], one, other), 409)
    message = refusal(small_server.link(vms[1], other, one), 409)
    assert "of another project" in message or "held by project" in message
    nothing(small_server.http.delete(stranger))
    for vm, lport, rport in ((vms[0], one, other), (vms[1], other, one)):
        reply = small_server.link(vm, lport, rport)
        assert reply.status_code == 201, reply.text


def test_a_port_of_no_project_that_a_link_names_is_kept_for_its_other_end(small_server: Server, project: str) -> None:
    """U-1: from the first end on, until the project is closed."""
    one, other = allocate(small_server), allocate(small_server)
    assert small_server.link(small_server.vm(project), one, other, "localhost").status_code == 201
    stranger = small_server.project()
    vm = small_server.vm(stranger)
    for rport in (one, 9):
        assert "held by project" in refusal(small_server.link(vm, other, rport), 409)
    nothing(small_server.http.delete(stranger))
    assert small_server.link(small_server.vm(project), other, one).status_code == 201


def test_a_port_of_no_project_is_not_kept_for_a_link_to_that_number_of_another_host(
    small_server: Server, project: str
) -> None:
    """U-1: every server counts from 10000 on."""
    one, other = allocate(small_server), allocate(small_server)
    assert small_server.link(small_server.vm(project), one, other, "192.0.2.7").status_code == 201
    stranger = small_server.project()
    assert small_server.link(small_server.vm(stranger), other, one, "192.0.2.7").status_code == 201
    nothing(small_server.http.delete(stranger))


def test_two_projects_are_linked_by_ports_that_each_asked_for(small_server: Server, project: str) -> None:
    """U-2: on purpose, they may be."""
    other = small_server.project()
    ports = allocate(small_server, project), allocate(small_server, other)
    assert small_server.link(small_server.vm(project), *ports).status_code == 201
    assert small_server.link(small_server.vm(other), *ports[::-1]).status_code == 201
    nothing(small_server.http.delete(other))


def test_a_refused_nio_keeps_the_old_port(small_server: Server, project: str) -> None:
    """E-3, N-5: and takes no new one."""
    one, two = small_server.vm(project, "one"), small_server.vm(project, "two")
    first = small_server.udp[0]
    assert small_server.link(one, first, 9).status_code == 201
    assert small_server.link(two, first + 1, 9).status_code == 201
    refusal(small_server.link(one, first + 1, 9), 409)
    refusal(small_server.link(one, first + 2, 9, rhost="256.1.1.1"), 400)
    refusal(small_server.link(one, first + 2, 9, rhost="no-such-host.invalid"), 409)
    assert remaining(small_server, project) == [first + 2, first + 3]


def test_a_port_nobody_asked_for_is_recorded_as_used(small_server: Server, project: str) -> None:
    """U-6: inside the range and outside."""
    one, two = small_server.vm(project, "one"), small_server.vm(project, "two")
    assert small_server.link(one, small_server.udp[0], 9).status_code == 201
    assert allocate(small_server, project) == small_server.udp[0] + 1
    refusal(small_server.link(two, small_server.udp[0], 9), 409)
    assert small_server.link(one, 4242, 9).status_code == 201
    refusal(small_server.link(two, 4242, 9), 409)
    nothing(small_server.http.delete(f"{one}/adapters/0/ports/0/nio"))
    assert small_server.link(two, 4242, 9).status_code == 201
    assert remaining(small_server, project) == [small_server.udp[0], small_server.udp[0] + 2, small_server.udp[0] + 3]


def test_ports_are_for_known_projects(small_server: Server) -> None:
    """U-2, E-4."""
    refusal(small_server.http.post(f"/v1/projects/{uuid.uuid4()}/ports/udp"), 404)
    refusal(small_server.http.post("/v1/projects/1/ports/udp"), 400)


def test_ports_of_no_project_run_out_too_and_survive_any_project(tmp_path: Path) -> None:
    """U-1, U-4, U-5."""
    with running(tmp_path / "projects", udp=free_range(3, socket.SOCK_DGRAM)) as server:
        first = server.udp[0]
        assert [allocate(server) for _ in range(3)] == [first, first + 1, first + 2]
        refusal(server.http.post("/v1/ports/udp", json={}), 409)
        project = server.project()
        refusal(server.http.post(f"{project}/ports/udp"), 409)
        nothing(server.http.delete(project))
        refusal(server.http.post("/v1/ports/udp", json={}), 409)


def test_the_interfaces_are_those_of_the_host(server: Server) -> None:
    """I-1: loopback included."""
    found: list[dict[str, Any]] = shown(server.http.get("/v1/interfaces"))
    assert {interface["name"] for interface in found} == {name for _, name in socket.if_nameindex()}
    assert "lo" in {interface["id"] for interface in found}
    for interface in found:
        assert set(interface) == {"id", "name", "ip_address", "mac_address", "addresses"}
        assert interface["id"] == interface["name"]
