"""Section 7 of docs/api.md over HTTP: VPCS VMs, from their creation to their end."""

import socket
import uuid
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from host import runs, taken, udp_ports_of
from machines import create, script_file, show, vms
from support import Server, Viewer, free_range, running

REQUIRED = {"name", "vm_id", "console", "project_id", "startup_script", "startup_script_path"}
OPTIONAL = {"status", "vm_directory", "command_line", "engine"}


# Create, show, list


def test_a_vm_is_shown_in_full(server: Server, project: str) -> None:
    """M-1, O-12: the required keys and the optional ones, nothing else."""
    made = create(server, project, name="VPCS 1")
    assert REQUIRED <= set(made) <= REQUIRED | OPTIONAL
    assert made["name"] == "VPCS 1"
    assert made["project_id"] == project.rpartition("/")[2]
    assert str(uuid.UUID(made["vm_id"])) == made["vm_id"]
    assert made["startup_script"] is None
    assert made["startup_script_path"] is None
    assert made["status"] == "stopped"
    assert made["command_line"] == ""
    assert Path(made["vm_directory"]).is_dir()


def test_get_and_the_list_show_what_create_showed(server: Server, project: str) -> None:
    """M-9, M-14."""
    assert vms(server, project) == []
    made = [create(server, project, name=name) for name in ("a", "b", "a")]
    assert vms(server, project) == made
    for one in made:
        assert show(server, f"{project}/vpcs/vms/{one['vm_id']}") == one
    assert len({one["vm_id"] for one in made}) == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": None},
        {"name": ""},
        {"name": 1},
        {"name": "a" * 256},
        {"name": "PC\nquit"},
        {"name": "PC\r"},
        {"name": "\u009b2J"},
        {"name": "x", "vm_id": None},
        {"name": "x", "vm_id": "1"},
        {"name": "x", "vm_id": 1.5},
        {"name": "x", "vm_id": True},
        {"name": "x", "vm_id": "{2d9f1ff3-9a6f-4d27-a6a6-4d7be2b5d5a}"},
        {"name": "x", "console": 0},
        {"name": "x", "console": 65536},
        {"name": "x", "console": -1},
        {"name": "x", "console": "2000"},
        {"name": "x", "startup_script": 1},
        {"name": "x", "startup_script": ["ip"]},
        {"name": "x", "project_id": "x"},
        {"name": "x", "startup_script_path": "/etc/passwd"},
        {"name": "x", "status": "started"},
        {"name": "x", "unknown": None},
    ],
)
def test_a_create_request_must_fit_its_schema(server: Server, project: str, body: dict[str, Any]) -> None:
    """M-1: and nothing is created."""
    refusal(server.http.post(f"{project}/vpcs/vms", json=body), 400)
    assert vms(server, project) == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": 1},
        {"name": "a" * 256},
        {"name": "PC\nquit"},
        {"name": "a\u2029b"},
        {"console": 0},
        {"console": 65536},
        {"startup_script": 1},
        {"vm_id": str(uuid.uuid4())},
        {"status": "started"},
    ],
)
def test_an_update_request_must_fit_its_schema(server: Server, project: str, body: dict[str, Any]) -> None:
    """M-10."""
    vm = server.vm(project)
    before = show(server, vm)
    refusal(server.http.put(vm, json=body), 400)
    assert show(server, vm) == before


def test_names_need_not_be_unique_and_can_be_any_line(server: Server, project: str) -> None:
    """M-1, P-15."""
    for name in ("PC", "PC", "../up", "名前 😀", "a" * 255, "😀" * 255, "%h"):
        assert create(server, project, name=name)["name"] == name


def test_a_given_id_is_used(server: Server, project: str) -> None:
    """M-6."""
    vm_id = str(uuid.uuid4())
    assert create(server, project, vm_id=vm_id)["vm_id"] == vm_id


def test_a_vm_that_is_open_already_is_returned_unchanged(server: Server, project: str) -> None:
    """M-6, B-13: and no console is used up."""
    made = create(server, project, name="first", startup_script="one")
    again = create(server, project, name="second", startup_script="two", vm_id=made["vm_id"], console=None)
    assert again == made
    assert create(server, project, vm_id=made["vm_id"], console=made["console"] + 7) == made
    assert vms(server, project) == [made]
    assert create(server, project)["console"] == made["console"] + 1


def test_an_id_that_another_project_uses_is_a_conflict(server: Server, project: str) -> None:
    """M-6, B-5."""
    made = create(server, project, name="mine")
    other = server.project()
    refusal(server.http.post(f"{other}/vpcs/vms", json={"name": "x", "vm_id": made["vm_id"]}), 409)
    assert vms(server, other) == []
    nothing(server.http.delete(other))
    assert show(server, f"{project}/vpcs/vms/{made['vm_id']}") == made


@pytest.mark.parametrize("old_id", [0, 1, -3, 10**30])
def test_an_integer_id_gets_a_fresh_uuid(server: Server, project: str, old_id: int) -> None:
    """M-6: topologies from before 1.3."""
    one, two = create(server, project, vm_id=old_id), create(server, project, vm_id=old_id)
    assert one["vm_id"] != two["vm_id"]
    assert str(uuid.UUID(one["vm_id"])) == one["vm_id"]


# Update


def test_nulls_and_the_own_console_change_nothing(server: Server, project: str) -> None:
    """M-10, B-9."""
    vm = server.vm(project, startup_script="x")
    before = show(server, vm)
    for body in ({}, {"name": None}, {"console": None}, {"console": before["console"]}, {"name": before["name"]}):
        assert shown(server.http.put(vm, json=body)) == before
    assert show(server, vm) == before


def test_an_update_is_all_or_nothing(small_server: Server, small_project: str) -> None:
    """M-10, B-3: after a 409 the VM is as before, and its console is still its own."""
    first, last = small_server.consoles
    vm, other = small_server.vm(small_project, "PC", startup_script="echo PC"), small_server.vm(small_project, "other")
    before = show(small_server, vm)
    with taken(last, address="127.0.0.1"):
        consoles = [first + 1, 1023, 1]
        for console in consoles:
            refusal(small_server.http.put(vm, json={"name": "new", "startup_script": "new", "console": console}), 409)
        reply = small_server.http.put(vm, json={"console": last})
        assert reply.status_code in (200, 409)
        if reply.status_code == 200:
            shown(small_server.http.put(vm, json={"console": first}))
    assert show(small_server, vm) == before
    assert script_file(small_server, vm).read_text() == "echo PC"
    refusal(small_server.http.put(other, json={"console": first}), 409)


# Delete


def test_delete_stops_the_process_and_gives_everything_back(small_server: Server, small_project: str) -> None:
    """M-12, S-8: when it answers the process has ended, and console and lport can be had again."""
    vm, _ = small_server.linked_pair(small_project)
    nothing(small_server.http.post(f"{vm}/start"))
    (pid,) = small_server.children()
    assert udp_ports_of(pid) == {small_server.udp[0]}
    with Viewer(small_server.consoles[0]) as viewer:
        viewer.until(b"VPCS> ")
        nothing(small_server.http.delete(vm))
        viewer.until_closed()
    assert not runs(pid)
    with taken(small_server.udp[0], socket.SOCK_DGRAM), pytest.raises(ConnectionRefusedError):
        Viewer(small_server.consoles[0])
    for method, path in (("GET", vm), ("DELETE", vm), ("PUT", vm), ("POST", f"{vm}/start"), ("POST", f"{vm}/stop")):
        refusal(small_server.http.request(method, path), 404)
    assert create(small_server, small_project)["console"] == small_server.consoles[0]
    assert shown(small_server.http.post(f"{small_project}/ports/udp"), 201)["udp_port"] == small_server.udp[0]


def test_an_unknown_vm_is_not_found(server: Server, project: str) -> None:
    """E-2: by any route below it."""
    vm = f"{project}/vpcs/vms/{uuid.uuid4()}"
    for method, path in (
        ("GET", vm),
        ("PUT", vm),
        ("DELETE", vm),
        ("POST", f"{vm}/start"),
        ("POST", f"{vm}/stop"),
        ("POST", f"{vm}/reload"),
        ("DELETE", f"{vm}/adapters/0/ports/0/nio"),
    ):
        refusal(server.http.request(method, path), 404)
    refusal(server.link(vm, 9, 9), 404)


# The 256th (M-13)


def test_a_project_has_at_most_255_vpcs(tmp_path: Path) -> None:
    """M-13, B-13: the next one leaves nothing behind, a deleted one makes room, another project has its own.

    Of programs: the built-in engine gives out more MAC addresses than they can have.
    """
    with running(tmp_path / "projects", consoles=free_range(258)) as server:
        project = server.project()
        made = [create(server, project, name=str(n)) for n in range(255)]
        assert len({one["console"] for one in made}) == 255
        vm_id = str(uuid.uuid4())
        body = {"name": "x", "vm_id": vm_id, "engine": "vpcs"}
        refusal(server.http.post(f"{project}/vpcs/vms", json=body), 409)
        assert len(vms(server, project)) == 255
        assert not (Path(made[0]["vm_directory"]).parent / vm_id).exists()
        assert create(server, project, vm_id=made[7]["vm_id"]) == made[7]
        other = server.project()
        assert create(server, other)["console"] == made[-1]["console"] + 1
        mac_id = _mac_id(server, f"{project}/vpcs/vms/{made[100]['vm_id']}")
        nothing(server.http.delete(f"{project}/vpcs/vms/{made[100]['vm_id']}"))
        again = create(server, project, vm_id=vm_id)
        assert again["console"] == made[100]["console"]
        assert _mac_id(server, f"{project}/vpcs/vms/{vm_id}") == mac_id


def _mac_id(server: Server, vm: str) -> str:
    """The MAC id with which that VPCS runs."""
    assert server.link(vm, server.udp[0], server.udp[1]).status_code == 201
    nothing(server.http.post(f"{vm}/start"))
    command = show(server, vm)["command_line"].split()
    return str(command[command.index("-m") + 1])
