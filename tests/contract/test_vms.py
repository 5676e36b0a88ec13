"""Section 7 of docs/api.md over HTTP: VPCS VMs, their consoles and startup scripts."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from expect import nothing, refusal, shown
from host import runs, taken, tcp_listeners_of, udp_ports_of
from support import Server, Viewer, free_range, running

REQUIRED = {"name", "vm_id", "console", "project_id", "startup_script", "startup_script_path"}
OPTIONAL = {"status", "vm_directory", "command_line"}


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    """A project whose end gives back what its test took."""
    yield from _project(server)


@pytest.fixture
def crowded(tight: Server) -> Iterator[str]:
    """A project of the server with four consoles."""
    yield from _project(tight)


def _project(server: Server) -> Iterator[str]:
    project = server.project()
    yield project
    assert server.http.delete(project).status_code in (204, 404)


def create(server: Server, project: str, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = shown(server.http.post(f"{project}/vpcs/vms", json={"name": "PC", **body}), 201)
    return found


def vms(server: Server, project: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shown(server.http.get(f"{project}/vpcs/vms"))
    return found


def show(server: Server, vm: str) -> dict[str, Any]:
    found: dict[str, Any] = shown(server.http.get(vm))
    return found


def script_file(server: Server, vm: str) -> Path:
    """Where M-7 says that the script is."""
    project, vm_id = vm.split("/vpcs/vms/")
    return Path(shown(server.http.get(project))["path"]) / "project-files" / "vpcs" / vm_id / "startup.vpc"


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


def test_names_need_not_be_unique_and_can_be_anything(server: Server, project: str) -> None:
    """M-1, P-15."""
    for name in ("PC", "PC", "../up", "名前 😀", "a" * 1000, "%h"):
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
    for other in _project(server):
        refusal(server.http.post(f"{other}/vpcs/vms", json={"name": "x", "vm_id": made["vm_id"]}), 409)
        assert vms(server, other) == []
    assert show(server, f"{project}/vpcs/vms/{made['vm_id']}") == made


@pytest.mark.parametrize("old_id", [0, 1, -3, 10**30])
def test_an_integer_id_gets_a_fresh_uuid(server: Server, project: str, old_id: int) -> None:
    """M-6: topologies from before 1.3."""
    one, two = create(server, project, vm_id=old_id), create(server, project, vm_id=old_id)
    assert one["vm_id"] != two["vm_id"]
    assert str(uuid.UUID(one["vm_id"])) == one["vm_id"]


# Consoles


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


def test_a_console_in_use_or_out_of_range_is_a_conflict(tight: Server, crowded: str) -> None:
    """M-4, O-6, O-16: nothing is created, and the directory does not stay."""
    first, last = tight.consoles
    vm_id = str(uuid.uuid4())
    create(tight, crowded, console=first)
    before = vms(tight, crowded)
    for console in (first, first - 1, last + 1, 1, 65535):
        refusal(tight.http.post(f"{crowded}/vpcs/vms", json={"name": "x", "vm_id": vm_id, "console": console}), 409)
    assert vms(tight, crowded) == before
    refusal(tight.http.get(f"{crowded}/vpcs/vms/{vm_id}"), 404)
    assert not (Path(before[0]["vm_directory"]).parent / vm_id).exists()
    assert create(tight, crowded, vm_id=vm_id)["console"] == first + 1


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


# Startup scripts


@pytest.mark.parametrize(
    "script",
    [
        "ip 10.0.0.1/24\n",
        "ip 10.0.0.1\r\nsave\r\n",
        "mixed\r\nends\nand\rmore",
        "no end",
        "",
        "\n\n",
        "# Zürich 😀 \u0000 \u2028\n",
        "100% %d %%\n",
        "x" * 100_000,
    ],
)
def test_a_script_is_kept_to_the_byte(server: Server, project: str, script: str) -> None:
    """M-7, B-8: UTF-8, line ends included, at create and at update."""
    made = create(server, project, startup_script=script)
    vm = f"{project}/vpcs/vms/{made['vm_id']}"
    assert made["startup_script"] == script
    assert made["startup_script_path"] == "startup.vpc"
    assert script_file(server, vm).read_bytes() == script.encode()
    assert show(server, vm)["startup_script"] == script
    other = server.vm(project)
    assert shown(server.http.put(other, json={"startup_script": script}))["startup_script"] == script
    assert script_file(server, other).read_bytes() == script.encode()


def test_the_placeholder_becomes_the_name_everywhere(server: Server, project: str) -> None:
    """M-7: as it is, even when the name looks like a pattern or a placeholder."""
    for name in ("PC1", r"\1 $& %s", "%h"):
        made = create(server, project, name=name, startup_script="set pcname %h\necho %h%h x%hx %H")
        assert made["startup_script"] == f"set pcname {name}\necho {name}{name} x{name}x %H"


def test_a_vm_created_anew_finds_its_script(server: Server, project: str) -> None:
    """M-8, M-12: its directory stays when it is deleted."""
    made = create(server, project, startup_script="echo %h")
    vm = f"{project}/vpcs/vms/{made['vm_id']}"
    nothing(server.http.delete(vm))
    again = create(server, project, name="other", vm_id=made["vm_id"])
    assert again["startup_script"] == "echo PC"
    assert again["startup_script_path"] == "startup.vpc"
    nothing(server.http.delete(vm))
    assert create(server, project, vm_id=made["vm_id"], startup_script="new")["startup_script"] == "new"


def test_the_script_is_read_again_for_each_reply(server: Server, project: str) -> None:
    """M-8: and undecodable bytes are replaced for display, not on disk."""
    vm = server.vm(project)
    script_file(server, vm).write_bytes(b"by hand \xff\xfe\r\n")
    found = show(server, vm)
    assert found["startup_script"] == "by hand \ufffd\ufffd\r\n"
    assert found["startup_script_path"] == "startup.vpc"
    assert vms(server, project)[0] == found
    assert script_file(server, vm).read_bytes() == b"by hand \xff\xfe\r\n"


def test_what_is_saved_on_the_console_is_shown(server: Server, project: str) -> None:
    """M-8, S-2: `save` writes into the VM's directory."""
    vm, _ = server.linked_pair(project)
    nothing(server.http.post(f"{vm}/start"))
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"VPCS> ")
        viewer.type("ip 10.1.2.3 255.255.255.0")
        viewer.until(b"PC1 : 10.1.2.3")
        viewer.until(b"VPCS> ")
        viewer.type("save")
        viewer.until(b"done")
        viewer.until(b"VPCS> ")
    assert "10.1.2.3" in show(server, vm)["startup_script"]
    assert "10.1.2.3" in script_file(server, vm).read_text()


def test_an_absent_script_is_untouched_and_null_clears_it(server: Server, project: str) -> None:
    """M-10, B-19: no file appears that nobody asked for."""
    vm = server.vm(project)
    assert shown(server.http.put(vm, json={"name": "new"}))["startup_script"] is None
    assert not script_file(server, vm).exists()
    assert shown(server.http.put(vm, json={}))["startup_script_path"] is None
    assert not script_file(server, vm).exists()
    assert shown(server.http.put(vm, json={"startup_script": "x"}))["startup_script"] == "x"
    assert shown(server.http.put(vm, json={"name": "newer"}))["startup_script"] == "x"
    assert shown(server.http.put(vm, json={"startup_script": None}))["startup_script"] in (None, "")
    assert not script_file(server, vm).exists() or script_file(server, vm).read_bytes() == b""


def test_a_rename_rewrites_the_script_in_whole_words(server: Server, project: str) -> None:
    """M-11, B-18: the address 192.168.1.1 is not the VM called 1."""
    script = "set pcname 1\nip 192.168.1.1 24\necho 1,1 (1) a1 1a 1_ -1 1/1 1:1 .1 1\r\n1"
    vm = server.vm(project, "1", startup_script=script)
    found = shown(server.http.put(vm, json={"name": "2"}))
    assert found["startup_script"] == "set pcname 2\nip 192.168.1.1 24\necho 2,2 (2) a1 1a 1_ -1 1/1 1:1 .1 2\r\n2"
    assert found["name"] == "2"
    assert script_file(server, vm).read_bytes().endswith(b".1 2\r\n2")


def test_a_rename_takes_names_literally(server: Server, project: str) -> None:
    """M-11: the old one is no pattern, the new one no template; bytes that are no UTF-8 stay."""
    vm = server.vm(project, "a.c", startup_script="abc a.c\n")
    assert shown(server.http.put(vm, json={"name": r"\1 \g<0>"}))["startup_script"] == "abc \\1 \\g<0>\n"
    script_file(server, vm).write_bytes(b"\xff Z\xfcrich PC\n")
    server.http.put(vm, json={"name": "PC"})
    server.http.put(vm, json={"name": "PC9"})
    assert script_file(server, vm).read_bytes() == b"\xff Z\xfcrich PC9\n"


def test_with_name_and_script_in_one_update_the_new_script_wins(server: Server, project: str) -> None:
    """M-11."""
    vm = server.vm(project, "old", startup_script="echo old")
    found = shown(server.http.put(vm, json={"name": "new", "startup_script": "echo old %h"}))
    assert (found["name"], found["startup_script"]) == ("new", "echo old new")


# Update


def test_nulls_and_the_own_console_change_nothing(server: Server, project: str) -> None:
    """M-10, B-9."""
    vm = server.vm(project, startup_script="x")
    before = show(server, vm)
    for body in ({}, {"name": None}, {"console": None}, {"console": before["console"]}, {"name": before["name"]}):
        assert shown(server.http.put(vm, json=body)) == before
    assert show(server, vm) == before


def test_a_new_console_gives_the_old_one_back(tight: Server, crowded: str) -> None:
    """M-10."""
    first, last = tight.consoles
    vm = tight.vm(crowded)
    assert shown(tight.http.put(vm, json={"console": last}))["console"] == last
    assert create(tight, crowded)["console"] == first
    refusal(tight.http.post(f"{crowded}/vpcs/vms", json={"name": "x", "console": last}), 409)


def test_an_update_is_all_or_nothing(tight: Server, crowded: str) -> None:
    """M-10, B-3: after a 409 the VM is as before, and its console is still its own."""
    first, last = tight.consoles
    vm, other = tight.vm(crowded, "PC", startup_script="echo PC"), tight.vm(crowded, "other")
    before = show(tight, vm)
    with taken(last, address="127.0.0.1"):
        consoles = [first + 1, last + 1, 1]
        for console in consoles:
            refusal(tight.http.put(vm, json={"name": "new", "startup_script": "new", "console": console}), 409)
        reply = tight.http.put(vm, json={"console": last})
        assert reply.status_code in (200, 409)
        if reply.status_code == 200:
            shown(tight.http.put(vm, json={"console": first}))
    assert show(tight, vm) == before
    assert script_file(tight, vm).read_text() == "echo PC"
    refusal(tight.http.put(other, json={"console": first}), 409)


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


# Delete


def test_delete_stops_the_process_and_gives_everything_back(tight: Server, crowded: str) -> None:
    """M-12, S-8: when it answers the process has ended, and console and lport can be had again."""
    vm, _ = tight.linked_pair(crowded)
    nothing(tight.http.post(f"{vm}/start"))
    (pid,) = tight.children()
    assert udp_ports_of(pid) == {tight.udp[0]}
    with Viewer(tight.consoles[0]) as viewer:
        viewer.until(b"VPCS> ")
        nothing(tight.http.delete(vm))
        viewer.until_closed()
    assert not runs(pid)
    with taken(tight.udp[0], socket.SOCK_DGRAM), pytest.raises(ConnectionRefusedError):
        Viewer(tight.consoles[0])
    for method, path in (("GET", vm), ("DELETE", vm), ("PUT", vm), ("POST", f"{vm}/start"), ("POST", f"{vm}/stop")):
        refusal(tight.http.request(method, path), 404)
    assert create(tight, crowded)["console"] == tight.consoles[0]
    assert shown(tight.http.post(f"{crowded}/ports/udp"), 201)["udp_port"] == tight.udp[0]


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
    """M-13, B-13: the next one leaves nothing behind, a deleted one makes room, another project has its own."""
    with running(tmp_path / "projects", consoles=free_range(258)) as server:
        project = server.project()
        made = [create(server, project, name=str(n)) for n in range(255)]
        assert len({one["console"] for one in made}) == 255
        vm_id = str(uuid.uuid4())
        refusal(server.http.post(f"{project}/vpcs/vms", json={"name": "x", "vm_id": vm_id}), 409)
        assert len(vms(server, project)) == 255
        assert not (Path(made[0]["vm_directory"]).parent / vm_id).exists()
        assert create(server, project, vm_id=made[7]["vm_id"]) == made[7]
        other = server.project()
        assert create(server, other)["console"] == made[-1]["console"] + 1
        nothing(server.http.delete(f"{project}/vpcs/vms/{made[100]['vm_id']}"))
        again = create(server, project, vm_id=vm_id)
        assert again["console"] == made[100]["console"]
        vm = f"{project}/vpcs/vms/{vm_id}"
        assert server.link(vm, server.udp[0], server.udp[1]).status_code == 201
        nothing(server.http.post(f"{vm}/start"))
        command = show(server, vm)["command_line"].split()
        assert command[command.index("-m") + 1] == "100"
