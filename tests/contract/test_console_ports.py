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


def test_consoles_come_lowest_first_from_a_range_whose_ends_count(tight: Server, crowded: str) -> None:
    """M-2, M-3, M-5: every number can be had; the one too many leaves nothing behind."""
    first, last = tight.consoles
    assert [create(tight, crowded, name=str(n))["console"] for n in range(4)] == list(range(first, last + 1))
    before = vms(tight, crowded)
    root = Path(before[0]["vm_directory"]).parent
    directories = sorted(root.iterdir())
    refusal(tight.http.post(f"{crowded}/vpcs/vms", json={"name": "x", "startup_script": "y"}), 409)
    assert vms(tight, crowded) == before
    assert sorted(root.iterdir()) == directories
    nothing(tight.http.delete(f"{crowded}/vpcs/vms/{before[1]['vm_id']}"))
    assert create(tight, crowded)["console"] == first + 1


@pytest.mark.parametrize("occupied", [[0], [3], [2], [1, 2]])
def test_consoles_that_strangers_occupy_are_skipped_and_all_others_usable(
    tight: Server, crowded: str, occupied: list[int]
) -> None:
    """M-3, B-1, B-14."""
    first = tight.consoles[0]
    free = [first + offset for offset in range(4) if offset not in occupied]
    with ExitStack() as strangers:
        for offset in occupied:
            strangers.enter_context(taken(first + offset, address="127.0.0.1"))
        assert [create(tight, crowded)["console"] for _ in free] == free
        refusal(tight.http.post(f"{crowded}/vpcs/vms", json={"name": "x"}), 409)
    assert create(tight, crowded)["console"] == first + occupied[0]


def test_a_given_console_is_reserved(tight: Server, crowded: str) -> None:
    """M-4: and skipped by those that let the server choose."""
    first = tight.consoles[0]
    assert create(tight, crowded, console=first + 1)["console"] == first + 1
    assert create(tight, crowded, console=None)["console"] == first
    assert create(tight, crowded)["console"] == first + 2


def test_a_console_in_use_or_privileged_is_a_conflict(tight: Server, crowded: str) -> None:
    """M-4, O-6, O-16: nothing is created, and the directory does not stay."""
    first, _ = tight.consoles
    vm_id = str(uuid.uuid4())
    create(tight, crowded, console=first)
    before = vms(tight, crowded)
    for console in (first, tight.port, 1, 1023):
        refusal(tight.http.post(f"{crowded}/vpcs/vms", json={"name": "x", "vm_id": vm_id, "console": console}), 409)
    assert vms(tight, crowded) == before
    refusal(tight.http.get(f"{crowded}/vpcs/vms/{vm_id}"), 404)
    assert not (Path(before[0]["vm_directory"]).parent / vm_id).exists()
    assert create(tight, crowded, vm_id=vm_id)["console"] == first + 1


def test_a_saved_console_is_taken_wherever_it_lies(tight: Server, crowded: str) -> None:
    """M-4, O-16: when a VM is made and when it is changed; it is really there, and comes back."""
    first = tight.consoles[0]
    one, two, three = islice(filter(port_is_free, range(5001, 10000)), 3)
    vm = f"{crowded}/vpcs/vms/{create(tight, crowded, console=one)['vm_id']}"
    assert tight.link(vm, tight.udp[0], 9).status_code == 201
    nothing(tight.http.post(f"{vm}/start"))
    for console in (two, three):
        with Viewer(show(tight, vm)["console"]) as viewer:
            viewer.until(b"VPCS> ")
        assert shown(tight.http.put(vm, json={"console": console}))["console"] == console
    refusal(tight.http.post(f"{crowded}/vpcs/vms", json={"name": "x", "console": three}), 409)
    assert create(tight, crowded, console=one)["console"] == one
    assert create(tight, crowded)["console"] == first


def test_a_console_that_a_stranger_has_is_a_conflict_at_the_latest_when_starting(tight: Server, crowded: str) -> None:
    """M-4, S-3, B-10: no process is left."""
    first = tight.consoles[0]
    with taken(first, address="127.0.0.1"):
        reply = tight.http.post(f"{crowded}/vpcs/vms", json={"name": "x", "console": first})
        if reply.status_code == 201:
            vm = f"{crowded}/vpcs/vms/{reply.json()['vm_id']}"
            assert tight.link(vm, tight.udp[0], tight.udp[1]).status_code == 201
            refusal(tight.http.post(f"{vm}/start"), 409)
        else:
            refusal(reply, 409)
    assert tight.children() == []


def test_a_new_console_gives_the_old_one_back(tight: Server, crowded: str) -> None:
    """M-10."""
    first, last = tight.consoles
    vm = tight.vm(crowded)
    assert shown(tight.http.put(vm, json={"console": last}))["console"] == last
    assert create(tight, crowded)["console"] == first
    refusal(tight.http.post(f"{crowded}/vpcs/vms", json={"name": "x", "console": last}), 409)


def test_the_console_of_a_running_vm_is_where_it_says(tight: Server, crowded: str) -> None:
    """M-10: a change is refused or the new port works; never is a port reported that nobody listens on."""
    vm, _ = tight.linked_pair(crowded)
    nothing(tight.http.post(f"{vm}/start"))
    _, last = tight.consoles
    reply = tight.http.put(vm, json={"console": last, "name": "moved"})
    assert reply.status_code in (200, 409)
    found = show(tight, vm)
    assert found["console"] == (last if reply.status_code == 200 else tight.consoles[0])
    assert found["name"] == ("moved" if reply.status_code == 200 else "PC1")
    with Viewer(found["console"]) as viewer:
        viewer.until(b"VPCS> ")
    listeners = tcp_listeners_of(tight.process.pid)
    assert listeners & set(range(tight.consoles[0], last + 1)) == {found["console"]}
    with taken(tight.consoles[0] + 2, address="127.0.0.1"):
        refusal(tight.http.put(vm, json={"console": tight.consoles[0] + 2, "name": "never"}), 409)
    assert show(tight, vm) == found
    with Viewer(found["console"]) as viewer:
        viewer.until(b"VPCS> ")
