"""Companions of a VM's program, its further consoles, and further ports that it has: together from start to end."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from expect import nothing, refusal, shown
from host import runs, udp_ports_of
from labplane_keeper import visiting
from machines import show
from support import Server, port_is_free, running, until

PLUGINS = Path(__file__).parent.parent / "helpers" / "shells"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("shells") / "projects", "--plugins-dir", str(PLUGINS)) as server:
        yield server


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    project = server.project()
    yield project
    nothing(server.http.delete(project))
    assert server.processes() == {}


def programs(server: Server) -> dict[str, int]:
    """The pids of what the keeper runs, by the name of each in its note."""
    there = visiting.runs(server.projects.resolve() / ".labplane")
    return {run["note"]["name"]: run["pid"] for run in there if run["status"] is None}


def started(server: Server, project: str, **body: Any) -> tuple[str, dict[str, int]]:
    vm = server.vm(project, "A", "shells", **body)
    nothing(server.http.post(f"{vm}/start"))
    return vm, programs(server)


def said(console: int, text: str, words: bytes) -> bytes:
    with closing(socket.create_connection(("127.0.0.1", console), 10)) as end:
        end.settimeout(20)
        end.sendall(text.encode())
        printed = b""
        while words not in printed:
            data = end.recv(4096)
            assert data, f"the console was closed after {printed!r}"
            printed += data
        return printed


def test_companions_are_up_before_and_end_with_their_vm_and_a_further_console_is_one_of_them(
    server: Server, project: str
) -> None:
    vm, pids = started(server, project)
    assert list(pids) == ["A (helper)", "A (aux)", "A"], "in the order in which they were started"
    directory, ports = Path(show(server, vm)["vm_directory"]), show(server, vm)
    assert (directory / "helper.sock").exists()
    assert b"helps" in (directory / "helper.log").read_bytes()
    assert ports["consoles"]["aux"] != ports["console"]
    assert b"PID=%d" % pids["A (aux)"] in said(ports["consoles"]["aux"], "echo P''ID=$$\r", b"PID=")
    assert b"PID=%d" % pids["A"] in said(ports["console"], "echo P''ID=$$\r", b"PID=")
    where = server.url.replace("http", "ws")
    with connect(f"{where}{vm}/consoles/aux", proxy=None) as viewer:
        assert b"PID=%d" % pids["A (aux)"] in viewer.recv(10)
    assert "it has aux" in refusal(server.http.get(f"{vm}/consoles/none", headers=UPGRADE), 404)
    nothing(server.http.post(f"{vm}/stop"))
    assert server.processes() == {}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports["consoles"]["aux"]))
    assert "start it first" in refusal(server.http.get(f"{vm}/consoles/aux", headers=UPGRADE), 409)


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@pytest.mark.parametrize("which", ["A (helper)", "A (aux)", "A"])
def test_when_one_of_them_ends_all_end_and_the_user_is_told_which(which: str, server: Server, project: str) -> None:
    vm, pids = started(server, project)
    os.kill(pids[which], signal.SIGKILL)
    until(lambda: show(server, vm)["status"] == "stopped", "the end of the VM")
    assert server.processes() == {}
    if which != "A":
        assert f"its {which[3:-1]} has ended by signal 9" in server.log
    nothing(server.http.post(f"{vm}/start"))


def test_a_companion_that_cannot_start_leaves_nothing_and_its_last_words_are_told(server: Server, project: str) -> None:
    vm = server.vm(project, "A", "shells", helper="print('no such disk'); raise SystemExit(2)")
    assert "Its last words: no such disk" in refusal(server.http.post(f"{vm}/start"), 409)
    assert (server.processes(), show(server, vm)["status"]) == ({}, "stopped")
    nothing(server.http.delete(vm))


def test_the_next_server_takes_them_over_and_ports_come_back_with_their_vm(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--plugins-dir", str(PLUGINS)) as server:
        _outlast(server)


def _outlast(server: Server) -> None:
    project = server.project()
    vm, pids = started(server, project)
    before = show(server, vm)
    (port,) = udp_ports_of(pids["A (helper)"])
    said(before["consoles"]["aux"], "marked=yes; echo o''k\r", b"ok")
    server.kill()
    with server.again() as again:
        assert (show(again, vm), programs(again)) == (before, pids)
        said(before["consoles"]["aux"], "echo va''lue=$marked\r", b"value=yes")
        os.kill(pids["A (helper)"], signal.SIGKILL)
        until(lambda: show(again, vm)["status"] == "stopped", "the end of the VM")
        others = [shown(again.http.post(f"{project}/ports/udp"), 201)["udp_port"] for _ in range(3)]
        assert port not in others
        nothing(again.http.post(f"{vm}/start"))
        assert udp_ports_of(programs(again)["A (helper)"]) == {port}
        assert show(again, vm)["consoles"] == before["consoles"]
        pids = programs(again)
        again.kill()
        os.kill(pids["A (aux)"], signal.SIGKILL)
        with again.again() as third:
            assert show(third, vm)["status"] == "stopped"
            assert third.processes() == {}
            assert not any(map(runs, pids.values()))
            nothing(third.http.post(f"{project}/close"))
            place = before["vm_directory"].split("/project-files/")[0]
            shown(third.http.post("/v1/projects", json={"project_id": project.rsplit("/", 1)[1], "path": place}), 201)
            assert show(third, vm)["consoles"] == before["consoles"]
            nothing(third.http.post(f"{vm}/start"))
            assert udp_ports_of(programs(third)["A (helper)"]) == {port}

            nothing(third.http.delete(vm))
            assert port_is_free(before["consoles"]["aux"])
