"""M-2 to M-5, M-10: which VM has which console."""

import uuid
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest

from expect import nothing, refusal, shown
from host import taken, tcp_listeners_of
from machines import create, show, vms
from support import Server, Viewer, port_is_free


def test_consoles_come_lowest_first_from_a_range_whose_ends_count(small_server: Server, small_project: str) -> None:
    """M-2, M-3, M-5: every number can be had; the one too many leaves nothing behind."""
    first, last = small_server.consoles
    assert [create(small_server, small_project, name=str(n))["console"] for n in range(4)] == list(
        range(first, last + 1)
    )
    before = vms(small_server, small_project)
    root = Path(before[0]["vm_directory"]).parent
    directories = sorted(root.iterdir())
    refusal(small_server.http.post(f"{small_project}/vpcs/vms", json={"name": "x", "startup_script": "y"}), 409)
    assert vms(small_server, small_project) == before
    assert sorted(root.iterdir()) == directories
    nothing(small_server.http.delete(f"{small_project}/vpcs/vms/{before[1]['vm_id']}"))
    assert create(small_server, small_project)["console"] == first + 1


@pytest.mark.parametrize("occupied", [[0], [3], [2], [1, 2]])
def test_consoles_that_strangers_occupy_are_skipped_and_all_others_usable(
    small_server: Server, small_project: str, occupied: list[int]
) -> None:
    """M-3, B-1, B-14."""
    first = small_server.consoles[0]
    free = [first + offset for offset in range(4) if offset not in occupied]
    with ExitStack() as strangers:
        for offset in occupied:
            strangers.enter_context(taken(first + offset, address="127.0.0.1"))
        assert [create(small_server, small_project)["console"] for _ in free] == free
        refusal(small_server.http.post(f"{small_project}/vpcs/vms", json={"name": "x"}), 409)
    assert create(small_server, small_project)["console"] == first + occupied[0]


def test_a_given_console_is_reserved(small_server: Server, small_project: str) -> None:
    """M-4: and skipped by those that let the server choose."""
    first = small_server.consoles[0]
    assert create(small_server, small_project, console=first + 1)["console"] == first + 1
    assert create(small_server, small_project, console=None)["console"] == first
    assert create(small_server, small_project)["console"] == first + 2


def test_a_console_in_use_or_privileged_is_a_conflict(small_server: Server, small_project: str) -> None:
    """M-4, O-6, O-16: nothing is created, and the directory does not stay."""
    first, _ = small_server.consoles
    vm_id = str(uuid.uuid4())
    create(small_server, small_project, console=first)
    before = vms(small_server, small_project)
    for console in (first, small_server.port, 1, 1023):
        refusal(
            small_server.http.post(f"{small_project}/vpcs/vms", json={"name": "x", "vm_id": vm_id, "console": console}),
            409,
        )
    assert vms(small_server, small_project) == before
    refusal(small_server.http.get(f"{small_project}/vpcs/vms/{vm_id}"), 404)
    assert not (Path(before[0]["vm_directory"]).parent / vm_id).exists()
    assert create(small_server, small_project, vm_id=vm_id)["console"] == first + 1


def test_a_saved_console_is_taken_wherever_it_lies(small_server: Server, small_project: str) -> None:
    """M-4, O-16: when a VM is made and when it is changed; it is really there, and comes back."""
    first = small_server.consoles[0]
    one, two, three = islice(filter(port_is_free, range(5001, 10000)), 3)
    vm = f"{small_project}/vpcs/vms/{create(small_server, small_project, console=one)['vm_id']}"
    assert small_server.link(vm, small_server.udp[0], 9).status_code == 201
    nothing(small_server.http.post(f"{vm}/start"))
    for console in (two, three):
        with Viewer(show(small_server, vm)["console"]) as viewer:
            viewer.until(b"VPCS> ")
        assert shown(small_server.http.put(vm, json={"console": console}))["console"] == console
    refusal(small_server.http.post(f"{small_project}/vpcs/vms", json={"name": "x", "console": three}), 409)
    assert create(small_server, small_project, console=one)["console"] == one
    assert create(small_server, small_project)["console"] == first


def test_a_console_that_a_stranger_has_is_a_conflict_at_the_latest_when_starting(
    small_server: Server, small_project: str
) -> None:
    """M-4, S-3, B-10: no process is left."""
    first = small_server.consoles[0]
    with taken(first, address="127.0.0.1"):
        reply = small_server.http.post(f"{small_project}/vpcs/vms", json={"name": "x", "console": first})
        if reply.status_code == 201:
            vm = f"{small_project}/vpcs/vms/{reply.json()['vm_id']}"
            assert small_server.link(vm, small_server.udp[0], small_server.udp[1]).status_code == 201
            refusal(small_server.http.post(f"{vm}/start"), 409)
        else:
            refusal(reply, 409)
    assert small_server.children() == []


def test_a_new_console_gives_the_old_one_back(small_server: Server, small_project: str) -> None:
    """M-10."""
    first, last = small_server.consoles
    vm = small_server.vm(small_project)
    assert shown(small_server.http.put(vm, json={"console": last}))["console"] == last
    assert create(small_server, small_project)["console"] == first
    refusal(small_server.http.post(f"{small_project}/vpcs/vms", json={"name": "x", "console": last}), 409)


def test_the_console_of_a_running_vm_is_where_it_says(small_server: Server, small_project: str) -> None:
    """M-10: a change is refused or the new port works; never is a port reported that nobody listens on."""
    vm, _ = small_server.linked_pair(small_project)
    nothing(small_server.http.post(f"{vm}/start"))
    _, last = small_server.consoles
    reply = small_server.http.put(vm, json={"console": last, "name": "moved"})
    assert reply.status_code in (200, 409)
    found = show(small_server, vm)
    assert found["console"] == (last if reply.status_code == 200 else small_server.consoles[0])
    assert found["name"] == ("moved" if reply.status_code == 200 else "PC1")
    with Viewer(found["console"]) as viewer:
        viewer.until(b"VPCS> ")
    listeners = tcp_listeners_of(small_server.process.pid)
    assert listeners & set(range(small_server.consoles[0], last + 1)) == {found["console"]}
    with taken(small_server.consoles[0] + 2, address="127.0.0.1"):
        refusal(small_server.http.put(vm, json={"console": small_server.consoles[0] + 2, "name": "never"}), 409)
    assert show(small_server, vm) == found
    with Viewer(found["console"]) as viewer:
        viewer.until(b"VPCS> ")
