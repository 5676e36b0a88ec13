"""Sections 10 and 13 of docs/api.md: how the server starts, is told things, and ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from host import runs, suspend, taken, tcp_listeners
from support import DEADLINE, Server, Viewer, free_range, running, until
from wire import Wire


def start_pair(server: Server, **project: Any) -> list[int]:
    """Two VPCS that run; their pids."""
    for vm in server.linked_pair(server.project(**project)):
        nothing(server.http.post(f"{vm}/start"))
    pids = server.children()
    assert len(pids) == 2
    return pids


def configured(directory: Path, text: str) -> list[str]:
    """Options that make the server read `text` as its configuration."""
    (directory / "labplane.toml").write_text(text)
    return ["--config", str(directory / "labplane.toml")]


# Requests of a client that may not


def test_only_a_local_client_stops_the_server_or_has_it_read_its_configuration(server: Server) -> None:
    """A-1, A-2: and the server goes on."""
    refusal(server.http.post("/v1/server/shutdown", json={}), 403)
    refusal(server.http.post("/v1/config/reload", json={}), 403)
    assert shown(server.http.get("/v1/version"))["local"] is False
    assert server.process.poll() is None


# Shutdown


def test_shutdown_closes_everything_and_exits_with_zero(tmp_path: Path) -> None:
    """A-1, T-6, B-25: temporary projects vanish, others keep their files."""
    with running(tmp_path / "projects", "--local") as server:
        pids = start_pair(server)
        kept = Path(shown(server.http.get("/v1/projects"))[0]["path"])
        temporary = Path(shown(server.http.post("/v1/projects", json={"temporary": True}), 201)["path"])
        nothing(server.http.post("/v1/server/shutdown"), 201)
        assert server.process.wait(DEADLINE) == 0
        assert not any(runs(pid) for pid in pids)
        assert kept.is_dir()
        assert not temporary.exists()


def test_shutdown_does_not_wait_for_clients_that_stall(tmp_path: Path) -> None:
    """A-1, A-3."""
    with running(tmp_path / "projects", "--local") as server, ExitStack() as clients:
        stalled_clients(server, clients)
        nothing(server.http.post("/v1/server/shutdown"), 201)
        assert server.process.wait(DEADLINE) == 0


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_in_time(tmp_path: Path, number: int) -> None:
    """A-3, S-8, B-25: whatever clients do; with status 0 or by that very signal."""
    with running(tmp_path / "projects") as server, ExitStack() as clients:
        pids = start_pair(server, temporary=True)
        temporary = Path(shown(server.http.get("/v1/projects"))[0]["path"])
        kept = Path(shown(server.http.post("/v1/projects", json={}), 201)["path"])
        stalled_clients(server, clients)
        clients.enter_context(Viewer(server.consoles[0])).until(b"VPCS> ")
        assert server.stop(number) in (0, -number)
        assert not any(runs(pid) for pid in pids)
        assert not temporary.exists()
        assert kept.is_dir()
        assert server.consoles[0] not in {port for _, port in tcp_listeners()}
        for offset in range(2):
            with taken(server.udp[0] + offset, socket.SOCK_DGRAM):
                pass


def stalled_clients(server: Server, clients: ExitStack) -> None:
    """Connections that would hold up a server that waits: silent, idle, in the middle of a head, a body, a chunk."""
    wires = [clients.enter_context(Wire(server.port)) for _ in range(5)]
    assert wires[1].call("GET", "/v1/version").status == 200
    wires[2].send(b"POST /v1/projects HTTP/1.1\r\nHost: loc")
    wires[3].head("POST", "/v1/projects", "Content-Length: 1000")
    wires[3].send(b"{")
    wires[4].head("POST", "/v1/projects", "Transfer-Encoding: chunked")
    wires[4].chunk(b"{")


def test_a_second_signal_during_the_end_does_no_harm(tmp_path: Path) -> None:
    """A-3, S-8."""
    with running(tmp_path / "projects") as server:
        pids = start_pair(server)
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE) in (0, -signal.SIGTERM)
        until(lambda: not any(runs(pid) for pid in pids), "the end of every VPCS")


def test_a_vm_that_does_not_heed_sigterm_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """A-3, S-5."""
    with running(tmp_path / "projects") as server:
        pids = start_pair(server)
        for pid in pids:
            suspend(pid)
        assert server.stop() in (0, -signal.SIGTERM)
        assert not any(runs(pid) for pid in pids)


def test_vpcs_of_a_killed_server_run_until_the_next_one_ends_what_it_does_not_know(tmp_path: Path) -> None:
    """S-8; it finds the ports free and removes what was temporary."""
    with running(tmp_path / "projects") as server:
        pids = start_pair(server, temporary=True)
        temporary = Path(shown(server.http.get("/v1/projects"))[0]["path"])
        consoles, udp = "{}-{}".format(*server.consoles), "{}-{}".format(*server.udp)
        server.process.kill()
        server.process.wait()
        assert all(runs(pid) for pid in pids)
        assert temporary.is_dir()
        with running(tmp_path / "projects", consoles=consoles, udp=udp) as again:
            assert not temporary.exists()
            assert not any(runs(pid) for pid in pids)
            assert len(start_pair(again)) == 2
            assert [vm["console"] for vm in vms(again)] == [again.consoles[0], again.consoles[0] + 1]


def vms(server: Server) -> list[dict[str, Any]]:
    (project,) = shown(server.http.get("/v1/projects"))
    found: list[dict[str, Any]] = shown(server.http.get(f"/v1/projects/{project['project_id']}/vpcs/vms"))
    return found


# Configuration


@pytest.fixture
def editable(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A local server and its configuration file, where the console range is left to the command line."""
    options = configured(tmp_path, 'local = true\napi_version = "one"\n')
    with running(tmp_path / "projects", *options) as server:
        yield server, tmp_path / "labplane.toml"


def test_a_reload_reads_the_file_again_and_the_command_line_still_wins(editable: tuple[Server, Path]) -> None:
    """A-2, T-6."""
    server, file = editable
    assert shown(server.http.get("/v1/version"))["version"] == "one"
    other = free_range(4)
    file.write_text(f'local = true\napi_version = "two"\nconsole_ports = "{other}"\n')
    assert shown(server.http.get("/v1/version"))["version"] == "one"
    nothing(server.http.post("/v1/config/reload"), 201)
    assert shown(server.http.get("/v1/version"))["version"] == "two"
    vm = server.vm(server.project())
    assert shown(server.http.get(vm))["console"] == server.consoles[0]


def test_a_reload_can_end_local_mode(editable: tuple[Server, Path]) -> None:
    """A-2."""
    server, file = editable
    file.write_text("")
    nothing(server.http.post("/v1/config/reload"), 201)
    assert shown(server.http.get("/v1/version")) == {"version": "1.3.dev1", "local": False}
    refusal(server.http.post("/v1/config/reload"), 403)


def test_a_reload_of_a_bad_file_changes_nothing(editable: tuple[Server, Path]) -> None:
    """A-2, E-3: and it is the file that is wrong, not the server."""
    server, file = editable
    for text in ("local = ", 'local = "yes"', "unknown = 1", "\xff", "[plugins.vpcs]\nprogram = 3"):
        file.write_bytes(text.encode("latin-1"))
        refusal(server.http.post("/v1/config/reload"), 409)
        assert shown(server.http.get("/v1/version")) == {"version": "one", "local": True}


def test_running_vms_do_not_notice_a_reload(editable: tuple[Server, Path]) -> None:
    """A-2."""
    server, _ = editable
    pids = start_pair(server)
    nothing(server.http.post("/v1/config/reload"), 201)
    assert sorted(server.children()) == sorted(pids)
    with Viewer(server.consoles[0]) as viewer:
        viewer.until(b"VPCS> ")
    assert server.vm(server.project())


# Launch


def serve(*options: str, directory: Path) -> "subprocess.Popen[bytes]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LABPLANE_")}
    environment |= {"XDG_CONFIG_HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    command = [sys.executable, "-c", "from labplane.cli import main; main()", "serve", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_http_listens_on_loopback_alone(server: Server) -> None:
    """C-1, O-15."""
    assert {address for address, port in tcp_listeners() if port == server.port} == {"127.0.0.1"}


def test_a_taken_port_is_an_error_that_disturbs_nobody(server: Server, tmp_path: Path) -> None:
    """C-5: also not the files of the server that is there."""
    temporary = Path(shown(server.http.post("/v1/projects", json={"temporary": True}), 201)["path"])
    options = ["--port", str(server.port), "--projects-dir", str(temporary.parent)]
    with serve(*options, directory=tmp_path) as second:
        output = second.communicate(timeout=DEADLINE)[0].decode()
    assert second.returncode not in (0, None)
    assert str(server.port) in output
    assert "Traceback" not in output
    assert temporary.is_dir()
    assert server.http.get("/v1/version").status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        ["--console-ports", "2000"],
        ["--console-ports", "3000-2000"],
        ["--udp-ports", "0-10"],
        ["--udp-ports", "10000-70000"],
        ["--port", "70000"],
        ["--port", "-1"],
        ["--host", "999.1.1.1"],
        ["--unknown"],
    ],
)
def test_a_bad_option_is_an_error(tmp_path: Path, options: list[str]) -> None:
    """C-5: said in words."""
    with serve("--port", "0", "--projects-dir", str(tmp_path / "p"), *options, directory=tmp_path) as process:
        output = process.communicate(timeout=DEADLINE)[0].decode()
    assert process.returncode not in (0, None)
    assert "Traceback" not in output
    assert output.strip()


def test_files_are_where_they_are_documented(server: Server) -> None:
    """C-3."""
    made = shown(server.http.post("/v1/projects", json={"temporary": True}), 201)
    project, root = f"/v1/projects/{made['project_id']}", Path(made["location"]) / made["project_id"]
    vm = server.vm(project, startup_script="show\n")
    port = shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"]
    assert server.link(vm, port, 9).status_code == 201
    nothing(server.http.post(f"{vm}/start"))
    with Viewer(shown(server.http.get(vm))["console"]) as viewer:
        viewer.until(b"VPCS> ")
        viewer.type("quit")
        viewer.until_closed()
    files = root / "project-files" / "vpcs" / vm.rpartition("/")[2]
    until(lambda: (files / "vpcs.hist").exists(), "the history")
    assert (root / ".gns3_temporary").is_file()
    assert (files / "startup.vpc").read_text() == "show\n"
    assert b"Virtual PC Simulator" in (files / "vpcs.log").read_bytes()
    assert shown(server.http.get(vm))["vm_directory"] == str(files)
    nothing(server.http.delete(project))
