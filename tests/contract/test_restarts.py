"""What was acknowledged is there after a restart, however the server ended; rules P-4, P-12, M-6, U-1, C-3."""

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from machines import show, vms
from projects import create
from support import Server, running, until

ENDS = pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)


def state(projects: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What the database in that directory answers, as anybody reads it who makes a backup."""
    with closing(sqlite3.connect(f"file:{projects}/.labplane/state.db?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()


def change(projects: Path, sql: str) -> None:
    """Change the database in that directory while no server works there."""
    with closing(sqlite3.connect(projects / ".labplane" / "state.db")) as connection, connection:
        connection.execute(sql)


def anew(first: Server, end: signal.Signals, *options: str, environment: Mapping[str, str] | None = None) -> Any:
    """End the server and start another one in its place."""
    consoles, udp = ("{}-{}".format(*ends) for ends in (first.consoles, first.udp))
    first.stop(end)
    return running(first.projects, *options, consoles=consoles, udp=udp, environment=environment)


@ENDS
def test_open_projects_come_back_with_vms_links_scripts_and_ports(tmp_path: Path, end: signal.Signals) -> None:
    with running(tmp_path / "projects") as first:
        one, two = create(first, name="one"), create(first, name="two")
        path = f"/v1/projects/{one['project_id']}"
        pair = first.linked_pair(path)
        shown(first.http.put(pair[0], json={"name": "renamed", "startup_script": "echo %h"}))
        gone = first.vm(path)
        nothing(first.http.delete(gone))
        last = first.vm(path, console=first.consoles[1])
        held = shown(first.http.post(f"{path}/ports/udp"), 201)["udp_port"]
        unclaimed = shown(first.http.post("/v1/ports/udp"), 201)["udp_port"]
        before = [vms(first, path), shown(first.http.get(f"{pair[0]}/adapters/0/ports/0/nio"))]
        nothing(first.http.post(f"/v1/projects/{two['project_id']}/close"))
        with anew(first, end) as second:
            assert shown(second.http.get("/v1/projects")) == [one]
            assert [vms(second, path), shown(second.http.get(f"{pair[0]}/adapters/0/ports/0/nio"))] == before
            assert [vm["name"] for vm in vms(second, path)] == ["renamed", "PC2", "PC"]
            refusal(second.http.get(gone), 404)
            used = shown(second.http.get("/v1/status"))["ports"]
            assert {held, unclaimed} <= set(used["udp"]["used"])
            assert shown(second.http.get(last))["console"] in used["console"]["used"]
            for vm in pair:
                nothing(second.http.post(f"{vm}/start"))


def test_what_comes_back_as_it_was_is_not_written_anew(tmp_path: Path) -> None:
    """A start with thousands of VMs would take as long as their creation."""
    with running(tmp_path / "projects") as first:
        path = f"/v1/projects/{create(first)['project_id']}"
        pair = first.linked_pair(path)
        shown(first.http.post(f"{path}/ports/udp"), 201)
        shown(first.http.post("/v1/ports/udp"), 201)
        first.stop(signal.SIGKILL)
        change(first.projects, "CREATE TABLE written (what TEXT)")
        for table in ("vm", "port", "value"):
            for what in ("INSERT", "UPDATE", "DELETE"):
                note = f"INSERT INTO written VALUES ('{what}_of_{table}')"  # noqa: S608
                change(first.projects, f"CREATE TRIGGER {what}_of_{table} AFTER {what} ON {table} BEGIN {note}; END")
        with anew(first, signal.SIGKILL) as second:
            assert len(vms(second, path)) == 2
            assert state(second.projects, "SELECT what FROM written") == []
            shown(second.http.put(pair[0], json={"name": "renamed"}))
            assert state(second.projects, "SELECT what FROM written WHERE what LIKE '%_of_vm'") == [("UPDATE_of_vm",)]


@ENDS
def test_what_clients_post_again_is_as_it_is(tmp_path: Path, end: signal.Signals) -> None:
    """M-6, N-1."""
    with running(tmp_path / "projects") as first:
        project = create(first)
        path = f"/v1/projects/{project['project_id']}"
        vm = first.vm(path, startup_script="mine")
        port = shown(first.http.post(f"{path}/ports/udp"), 201)["udp_port"]
        nio = {"type": "nio_udp", "lport": port, "rhost": "127.0.0.1", "rport": 9}
        shown(first.http.post(f"{vm}/adapters/0/ports/0/nio", json=nio), 201)
        before = shown(first.http.get(vm))
        with anew(first, end) as second:
            assert create(second, project_id=project["project_id"]) == project
            again = {"name": "other", "vm_id": before["vm_id"], "startup_script": "other"}
            assert shown(second.http.post(f"{path}/vpcs/vms", json=again), 201) == before
            assert shown(second.http.post(f"{vm}/adapters/0/ports/0/nio", json=nio), 201) == nio
            refusal(second.http.post(f"{second.project()}/vpcs/vms", json=again), 409)


def test_a_closed_project_that_is_opened_again_has_its_vms(server: Server) -> None:
    """P-4, P-12: stopped, with links and scripts; what its consoles wrote since stays."""
    path = server.project(name="mine")
    project_id = path.rpartition("/")[2]
    pair = server.linked_pair(path)
    nothing(server.http.post(f"{pair[0]}/start"))
    script = Path(show(server, pair[0])["vm_directory"]) / "startup.vpc"
    shown(server.http.put(pair[0], json={"startup_script": "posted"}))
    before = vms(server, path)
    nothing(server.http.post(f"{path}/close"))
    script.write_text("saved")
    assert create(server, project_id=project_id)["name"] == "mine"
    after = vms(server, path)
    assert [vm["status"] for vm in after] == ["stopped", "stopped"]
    same = ("vm_id", "name", "console")
    assert [[vm[name] for name in same] for vm in after] == [[vm[name] for name in same] for vm in before]
    assert after[0]["startup_script"] == "saved"
    for vm in pair:
        nothing(server.http.post(f"{vm}/start"))


def test_a_project_opened_again_gets_other_ports_for_those_that_others_have(server: Server) -> None:
    """P-12, U-5: at both ends of its links."""
    path = server.project()
    pair = server.linked_pair(path)
    taken = [shown(server.http.get(f"{vm}/adapters/0/ports/0/nio")) for vm in pair]
    console = show(server, pair[0])["console"]
    nothing(server.http.post(f"{path}/close"))
    other = server.project()
    shown(server.http.post(f"{other}/vpcs/vms", json={"name": "x", "console": console}), 201)
    assert server.link(server.vm(other), taken[0]["lport"], 9).status_code == 201
    create(server, project_id=path.rpartition("/")[2])
    one, two = [shown(server.http.get(f"{vm}/adapters/0/ports/0/nio")) for vm in pair]
    assert one["lport"] != taken[0]["lport"]
    assert two["lport"] == taken[1]["lport"]
    assert (one["rport"], two["rport"]) == (two["lport"], one["lport"])
    assert show(server, pair[0])["console"] != console


def test_a_port_that_came_back_at_a_close_which_was_interrupted_is_whose_it_is_now(tmp_path: Path) -> None:
    """The VM of the project that was being closed, and is open again first, gets another."""
    with running(tmp_path / "projects") as first:
        older, newer = first.project(), first.project()
        was, now = first.vm(older), first.vm(newer)
        console, other = (shown(first.http.get(vm))["console"] for vm in (was, now))
        first.stop(signal.SIGKILL)
        with closing(sqlite3.connect(first.projects / ".labplane" / "state.db")) as state, state:
            was_id, now_id = (vm.rpartition("/")[2] for vm in (was, now))
            state.execute("DELETE FROM port WHERE vm_id = ?", (was_id,))
            state.execute("UPDATE port SET number = ? WHERE pool = 'console' AND vm_id = ?", (console, now_id))
            state.execute("UPDATE vm SET console = ? WHERE vm_id = ?", (console, now_id))
        with anew(first, signal.SIGKILL) as second:
            assert shown(second.http.get(now))["console"] == console
            assert shown(second.http.get(was))["console"] not in (console, None)
            assert shown(second.http.get(was))["console"] == other
        assert "cannot be written" not in second.log


def test_a_project_that_was_being_closed_holds_no_port_after_a_restart(tmp_path: Path) -> None:
    """P-12: the server is killed between its note that the project is closed and that its ports are free."""
    with running(tmp_path / "projects") as first:
        path = first.project()
        pair = first.linked_pair(path)
        first.http.post(f"{path}/ports/udp")
        consoles = [show(first, vm)["console"] for vm in pair]
        first.stop(signal.SIGKILL)
        change(first.projects, """UPDATE value SET value = replace(value, '"open"', '"closed"')""")
        with anew(first, signal.SIGKILL) as second:
            assert shown(second.http.get("/v1/projects")) == []
            ports = shown(second.http.get("/v1/status"))["ports"]
            assert (ports["udp"]["used"], ports["console"]["used"]) == ([], [])
            assert state(second.projects, "SELECT * FROM port") == []
            create(second, project_id=path.rpartition("/")[2])
            assert [show(second, vm)["console"] for vm in pair] == consoles


def test_a_project_whose_opening_was_interrupted_takes_no_port_that_another_one_leases(tmp_path: Path) -> None:
    """P-12, U-5: it is open first, in place of a port that others have got it gets one that nobody has."""
    with running(tmp_path / "projects") as first:
        path, other = first.project(), first.project()
        pair = first.linked_pair(path)
        taken = shown(first.http.get(f"{pair[0]}/adapters/0/ports/0/nio"))["lport"]
        nothing(first.http.post(f"{path}/close"))
        assert first.link(first.vm(other), taken, 9).status_code == 201
        leased = shown(first.http.post(f"{other}/ports/udp"), 201)["udp_port"]
        before = shown(first.http.get("/v1/status"))["ports"]["udp"]["used"]
        first.stop(signal.SIGKILL)
        change(first.projects, """UPDATE value SET value = replace(value, '"closed"', '"open"')""")
        with anew(first, signal.SIGKILL) as second:
            lports = [shown(second.http.get(f"{vm}/adapters/0/ports/0/nio"))["lport"] for vm in pair]
            assert not {taken, leased} & set(lports)
            assert shown(second.http.get("/v1/status"))["ports"]["udp"]["used"] == sorted({*before, *lports})


def test_a_vm_of_a_closed_project_keeps_its_id(server: Server) -> None:
    """M-6, B-5."""
    path = server.project()
    vm = show(server, server.vm(path))
    nothing(server.http.post(f"{path}/close"))
    said = refusal(server.http.post(f"{server.project()}/vpcs/vms", json={"name": "x", "vm_id": vm["vm_id"]}), 409)
    assert "of a project that is closed" in said
    create(server, project_id=path.rpartition("/")[2])
    assert vms(server, path) == [vm]


def test_a_deleted_project_is_forgotten(tmp_path: Path) -> None:
    """P-13: opened again with its id, it is a new one."""
    with running(tmp_path / "projects") as first:
        path = first.project(name="mine")
        first.vm(path)
        nothing(first.http.delete(path))
        assert create(first, project_id=path.rpartition("/")[2])["name"] is None
        assert vms(first, path) == []
        nothing(first.http.delete(path))
        with anew(first, signal.SIGKILL) as second:
            assert shown(second.http.get("/v1/projects")) == []
            rows = "SELECT vm_id FROM vm UNION SELECT vm_id FROM port UNION SELECT key FROM value"
            assert state(second.projects, rows) == []


@ENDS
def test_temporary_projects_end_with_their_server(tmp_path: Path, end: signal.Signals) -> None:
    """P-6: their VMs and files, in local mode those elsewhere too."""
    with running(tmp_path / "projects", "--local") as first:
        there = create(first, temporary=True, path=str(tmp_path / "elsewhere"))
        here = create(first, temporary=True)
        for project in (there, here):
            first.vm(f"/v1/projects/{project['project_id']}")
        with anew(first, end) as second:
            assert shown(second.http.get("/v1/projects")) == []
            assert not any(Path(project["path"]).exists() for project in (there, here))
            until(lambda: not state(second.projects, "SELECT * FROM vm"), "an empty table of VMs")


def test_a_project_that_is_no_longer_temporary_stays(tmp_path: Path) -> None:
    """P-9: and one that has become so goes."""
    with running(tmp_path / "projects") as first:
        stays, goes = create(first, temporary=True), create(first)
        shown(first.http.put(f"/v1/projects/{stays['project_id']}", json={"temporary": False, "name": "kept"}))
        shown(first.http.put(f"/v1/projects/{goes['project_id']}", json={"temporary": True}))
        with anew(first, signal.SIGKILL) as second:
            assert [project["name"] for project in shown(second.http.get("/v1/projects"))] == ["kept"]
            assert not Path(goes["path"]).exists()


def test_a_commit_removes_what_was_deleted_before_the_restart(tmp_path: Path) -> None:
    """P-11."""
    with running(tmp_path / "projects") as first:
        path = first.project()
        vm = first.vm(path)
        directory = Path(show(first, vm)["vm_directory"])
        nothing(first.http.delete(vm))
        with anew(first, signal.SIGKILL) as second:
            assert directory.is_dir()
            nothing(second.http.post(f"{path}/commit"))
            assert not directory.exists()


def test_a_commit_that_was_interrupted_goes_on_at_the_next_start(tmp_path: Path) -> None:
    """P-11: the row of a commit that had begun is what a killed server leaves."""
    with running(tmp_path / "projects") as first:
        path = first.project()
        vm = first.vm(path)
        directory = Path(show(first, vm)["vm_directory"])
        nothing(first.http.delete(vm))
        first.stop(signal.SIGKILL)
        change(first.projects, "UPDATE deleted SET committed = 1")
        with anew(first, signal.SIGKILL):
            until(lambda: not directory.exists(), "the end of the commit")
            until(lambda: not state(first.projects, "SELECT * FROM deleted"), "an empty table")


def test_the_mac_addresses_of_vpcs_stay(tmp_path: Path) -> None:
    """M-13: a free one that is lower is not taken instead."""
    with running(tmp_path / "projects") as first:
        path = first.project()
        gone, kept = first.linked_pair(path)
        nothing(first.http.post(f"{kept}/start"))
        before = show(first, kept)["command_line"]
        nothing(first.http.delete(gone))
        with anew(first, signal.SIGKILL) as second:
            nothing(second.http.post(f"{kept}/start"))
            assert show(second, kept)["command_line"].split()[1:3] == before.split()[1:3]


def test_a_vm_whose_kind_is_not_installed_is_kept(tmp_path: Path) -> None:
    """It is said, its ports are kept for it, and it is there again with its plugin."""
    with running(tmp_path / "projects") as first:
        path = first.project()
        vm = show(first, first.vm(path))
        with anew(first, signal.SIGKILL, environment={"LABPLANE_DISABLED": "vpcs"}) as without:
            assert "is kept but not there: no plugin here brings the kind 'vpcs'" in without.log
            assert vm["console"] in shown(without.http.get("/v1/status"))["ports"]["console"]["used"]
            nothing(without.http.post(f"{path}/close"))
            create(without, project_id=vm["project_id"])
        with anew(without, signal.SIGTERM) as second:
            assert vms(second, path) == [vm]


def test_a_project_whose_directory_is_gone_stays_closed(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as first:
        project = create(first)
        vm = show(first, first.vm(f"/v1/projects/{project['project_id']}"))
        first.stop(signal.SIGKILL)
        Path(project["path"]).rename(tmp_path / "elsewhere")
        with anew(first, signal.SIGKILL) as second:
            assert f"the project {project['project_id']} stays closed: its directory" in second.log
            assert shown(second.http.get("/v1/projects")) == shown(second.http.get("/v1/closed-projects")) == []
            (tmp_path / "elsewhere").rename(project["path"])
            assert shown(second.http.get("/v1/closed-projects")) == [project]
            create(second, project_id=project["project_id"])
            assert vms(second, f"/v1/projects/{project['project_id']}") == [vm]


def test_a_port_that_nobody_claims_comes_back_though_the_server_is_started_anew(tmp_path: Path) -> None:
    """U-1, U-5: the time that it has left is kept."""

    def used(server: Server) -> list[int]:
        ports: list[int] = shown(server.http.get("/v1/status"))["ports"]["udp"]["used"]
        return ports

    with running(tmp_path / "projects") as first:
        port = shown(first.http.post("/v1/ports/udp"), 201)["udp_port"]
        with anew(first, signal.SIGKILL) as second:
            assert used(second) == [port]
            second.stop(signal.SIGKILL)
            change(second.projects, "UPDATE port SET since = since - 3600")  # as if it had been an hour
            with anew(second, signal.SIGKILL) as third:
                assert used(third) == []


def test_the_data_directory_is_the_servers_alone(tmp_path: Path) -> None:
    """Nobody else gets in, and no project may be there."""
    with running(tmp_path / "projects", "--local") as server:
        data = server.projects / ".labplane"
        assert data.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in data.iterdir()} == {0o600}
        refusal(server.http.post("/v1/projects", json={"path": str(data / "x")}), 409)


def test_with_full_durability_a_reply_waits_for_the_disk_and_other_requests_do_not(tmp_path: Path) -> None:
    """Each fsync of the server takes half a second, by strace's injection."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    with running(tmp_path / "projects", environment={"LABPLANE_DURABILITY": "full"}) as server:
        path = server.project()
        slow = ["-f", "-p", str(server.process.pid), "-e", "inject=fdatasync,fsync:delay_enter=500ms"]
        with subprocess.Popen(["strace", *slow, "-e", "trace=fdatasync,fsync"], stderr=subprocess.PIPE) as strace:
            assert strace.stderr is not None
            try:
                if b"attached" not in strace.stderr.readline():
                    pytest.skip("strace cannot attach here")
                with ThreadPoolExecutor(1) as thread:
                    created = thread.submit(server.vm, path)
                    shown_meanwhile = 0
                    while not created.done():
                        shown(server.http.get("/v1/version"))
                        shown_meanwhile += 1
                    vm = created.result()
                assert shown_meanwhile > 1, "the loop waited for the disk"
            finally:
                strace.send_signal(signal.SIGINT)
                said = strace.stderr.read()
        assert b"sync(" in said, "the reply did not wait for the disk"
        with anew(server, signal.SIGKILL) as second:
            assert [one["vm_id"] for one in vms(second, path)] == [vm.rpartition("/")[2]]
