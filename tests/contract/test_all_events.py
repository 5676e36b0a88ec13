"""Section 17 of docs/api.md: the events of all projects, as server-sent events and on a WebSocket."""

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from expect import nothing, refusal
from listening import Listener
from support import DEADLINE, Server, running
from wire import Wire


def talk(server: Server, path: str = "/v1/events", **headers: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}{path}", additional_headers=headers, proxy=None)


def heard(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(DEADLINE))


def test_server_sent_events_name_the_action_and_the_project(server: Server, project: str) -> None:
    """W-8."""
    with Listener(server.port, "/v1/events") as listener:
        stream = listener.response
        assert stream.getheader("content-type") == "text/event-stream"
        assert stream.getheader("cache-control") == "no-store"
        server.vm(project, "Größe \u00a0")
        lines = [stream.readline().decode() for _ in range(6)]
    assert [lines[0], lines[3]] == ["event: ping\n", "event: vm.created\n"]
    assert lines[2] == lines[5] == "\n"
    ping, created = (json.loads(line.removeprefix("data: ")) for line in (lines[1], lines[4]))
    assert (ping["action"], ping["project_id"]) == ("ping", None)
    assert (created["action"], created["event"]["name"]) == ("vm.created", "Größe \u00a0")
    assert f"/v1/projects/{created['project_id']}" == project


def test_a_websocket_hears_of_all_projects_and_of_their_end(server: Server) -> None:
    """W-9."""
    with talk(server) as socket:
        assert heard(socket)["action"] == "ping"
        projects = [server.project() for _ in range(2)]
        vms = [server.vm(project) for project in projects]
        for project in projects:
            nothing(server.http.delete(project))
        socket.send("what a listener says does not matter")
        told = [heard(socket) for _ in range(4)]
    assert [one["action"] for one in told] == ["vm.created", "vm.created", "vm.deleted", "vm.deleted"]
    assert [f"/v1/projects/{one['project_id']}" for one in told] == projects * 2
    assert [one["event"]["vm_id"] for one in told] == [vm.rsplit("/", 1)[1] for vm in vms] * 2


def test_web_pages_of_others_and_rebound_names_get_no_websocket(server: Server) -> None:
    """B-17."""
    own = f"http://127.0.0.1:{server.port}"
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        with pytest.raises(InvalidStatus) as refused:
            talk(server, **headers)
        # The client's own Host stands beside the one that it is given, and two of them are a bad request.
        assert refused.value.response.status_code == (400 if "Host" in headers else 403)
    with talk(server, Origin=own) as socket:
        assert heard(socket)["action"] == "ping"


def test_listeners_do_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    """A-3, W-6: none of them, nor does the server have to be rude to them."""
    with running(tmp_path / "projects") as server:
        project = server.project()
        with (
            talk(server) as socket,
            Listener(server.port, f"{project}/notifications") as listener,
            Wire(server.port) as wire,
        ):
            wire.head("GET", "/v1/events")
            assert wire.socket.recv(65536)
            assert heard(socket)["action"] == "ping"
            assert server.stop() in (0, -15)
            assert listener.rest() == []
        assert "Cancel" not in server.log
        assert "Traceback" not in server.log


def test_other_methods_are_refused(server: Server) -> None:
    """T-8."""
    reply = server.http.post("/v1/events")
    refusal(reply, 405)
    assert reply.headers["allow"] == "GET, HEAD"
