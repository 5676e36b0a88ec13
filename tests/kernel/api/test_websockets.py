"""WebSocket routes: looked up like requests, accepted by their endpoint, closed with a reason; no lock is held."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from fragile import Fragile
from inprocess import Served, offering, serving
from labplane import Conflict, Plugin, Request, Route, hook
from labplane.plugins.loading import Candidate
from support import until

VM_PATH = "/v1/projects/{project_id}/things/{vm_id}/talk"


class Talkative(Plugin):
    """A WebSocket that says of which VM it is and does what it is told."""

    @hook
    def routes(self) -> Iterable[Route]:
        self.left = 0
        return [
            Route("WEBSOCKET", VM_PATH, self.talk, status=101),
            Route("WEBSOCKET", "/v1/talk/{number:int}", self.refuse, status=101),
            Route("WEBSOCKET", "/v1/dumb", self.forget, status=101),
        ]

    async def talk(self, request: Request, websocket: WebSocket) -> None:
        await websocket.accept()
        assert request.vm is not None
        await websocket.send_text(f"{request.vm.name} {request.vm.lock.locked()}")
        try:
            while (word := await websocket.receive_text()) != "bye":
                if word == "conflict":
                    raise Conflict("Not so: " + "ü" * 100)
                if word == "bug":
                    raise ValueError("secret")
        finally:
            self.left += 1

    async def refuse(self, request: Request, _: WebSocket) -> None:
        if request.path["number"] == 7:
            raise ValueError("secret")
        raise Conflict(f"Not {request.path['number']}.")

    async def forget(self, _: Request, __: WebSocket) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    talkative = Candidate("talkative", lambda: Talkative, "labplane-talkative", "1")
    with serving(tmp_path, [offering(Fragile), talkative]) as served:
        yield served


def talk(served: Served, path: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{served.port}{path}", proxy=None)


def refusal(served: Served, path: str) -> tuple[int, str]:
    """Status and message with which the handshake is refused."""
    with pytest.raises(InvalidStatus) as refused:
        talk(served, path)
    reply = refused.value.response
    assert reply.headers["content-type"] == "application/json"
    envelope = json.loads(reply.body or b"")
    assert envelope["status"] == reply.status_code
    return reply.status_code, envelope["message"]


def talk_path(served: Served) -> str:
    project = served.project()
    vm = served.vm(project, "fragile").rsplit("/", 1)[1]
    return f"{project}/things/{vm.upper()}/talk"


def report(served: Served) -> Any:
    return next(one for one in served.lab.plugins.reports if one.name == "talkative")


def test_an_endpoint_gets_the_vm_without_its_lock_and_ends_in_order(served: Served) -> None:
    path = talk_path(served)
    with talk(served, path) as one, talk(served, path) as two:
        assert one.recv(20) == two.recv(20) == "A False"
        one.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            one.recv(20)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1000


def test_ids_are_checked_before_a_connection_is_accepted(served: Served) -> None:
    """E-3, E-4."""
    path = talk_path(served)
    project, vm = path.split("/")[3], path.split("/")[5]
    nobody = "00000000-0000-0000-0000-00000000000f"
    assert refusal(served, path.replace(project, "x"))[0] == 400
    assert refusal(served, path.replace(project, nobody)) == (
        404,
        f"There is no open project {nobody}; POST /v1/projects opens one.",
    )
    assert refusal(served, path.replace(vm, "x"))[0] == 400
    assert refusal(served, path.replace(vm, nobody))[0] == 404


def test_an_endpoint_may_refuse_and_what_it_forgets_is_a_crash(served: Served) -> None:
    assert refusal(served, "/v1/talk/3") == (409, "Not 3.")
    status, message = refusal(served, "/v1/talk/7")
    assert status == 500
    assert "secret" not in message
    assert report(served).faults == 1
    assert refusal(served, "/v1/dumb")[0] == 500
    for nowhere in ("/v1/nothing", "/v1/talk/" + "1" * 5000, "/v1/version", "/v1/talk/1/"):
        with pytest.raises(InvalidStatus):
            talk(served, nowhere)


@pytest.mark.parametrize(("word", "code", "reason"), [("conflict", 4409, "Not so: ü"), ("bug", 1011, "The plugin")])
def test_what_an_endpoint_raises_later_closes_the_connection(served: Served, word: str, code: int, reason: str) -> None:
    with talk(served, talk_path(served)) as socket:
        socket.recv(20)
        socket.send(word)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(20)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == code
    assert closed.value.rcvd.reason.startswith(reason)
    assert "secret" not in closed.value.rcvd.reason
    assert report(served).faults == (word == "bug")


def test_a_client_that_leaves_is_nobodys_fault(served: Served) -> None:
    plugin = served.lab.plugins._manager.get_plugin("talkative")
    assert isinstance(plugin, Talkative)
    for leave in (ClientConnection.close, lambda socket: socket.socket.close()):
        left = plugin.left
        with talk(served, talk_path(served)) as socket:
            socket.recv(20)
            leave(socket)
        until(lambda: plugin.left > left, "the endpoint to end")  # noqa: B023
    assert report(served).faults == 0


def test_plain_http_is_told_that_there_is_a_websocket(served: Served) -> None:
    """T-8."""
    reply = served.http.get("/v1/dumb")
    assert reply.status_code == 405
    assert reply.json()["message"] == "GET is not offered at /v1/dumb; it has WEBSOCKET."
    assert reply.headers["allow"] == ""
    assert served.http.request("WEBSOCKET", "/v1/dumb").status_code in (400, 405)


def test_openapi_has_no_word_for_it(served: Served) -> None:
    assert not [path for path in served.lab.document()["paths"] if "talk" in path or "dumb" in path]
