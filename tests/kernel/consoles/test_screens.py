"""Consoles that are screens, or none: over TCP, over a WebSocket, and in the VM object."""

import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect

from idle import Machine
from inprocess import Served, offering, serving
from labplane import VM, Conflict, ConsoleDriver, Schema, Session
from labplane.testing import port_is_free
from support import until

HELLO = b"RFB 003.008\n"


def speak(end: socket.socket) -> None:
    """Greet as a VNC server does, then say again what is heard, in reverse."""
    with end:
        end.sendall(HELLO)
        while data := end.recv(65536):
            end.sendall(data[::-1])


class Screened(ConsoleDriver):
    """Has the console that its setting says."""

    kind = "screened"
    properties: ClassVar[Mapping[str, Schema]] = {
        "console_type": {"enum": ["telnet", "vnc", "none"], "default": "vnc", "x-change": "stopped"}
    }

    def console_type(self, vm: VM) -> str:
        return str(vm.settings["console_type"])

    async def screen(self, vm: VM) -> socket.socket:
        if vm.data.get("dark"):
            raise Conflict("It is dark.")
        near, far = socket.socketpair()
        threading.Thread(target=speak, args=[far], daemon=True).start()
        return near

    async def launch(self, vm: VM, session: Session) -> None:
        session.run(Machine(session))


class Text(Screened):
    """Says nothing of its console."""

    kind = "text"
    properties: ClassVar[Mapping[str, Schema]] = {}
    console_type = ConsoleDriver.console_type


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [offering(Screened, Text)], max_viewers=2) as served:
        yield served


def started(served: Served, **body: Any) -> tuple[str, int]:
    """The path and the console port of a VM that runs."""
    vm = served.vm(served.project(), "screened", **body)
    assert served.http.post(f"{vm}/start").status_code == 204
    return vm, served.http.get(vm).json()["console"]


def viewer(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 20)


def exactly(end: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = end.recv(length - len(data))
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def address(served: Served, vm: str) -> str:
    return served.url.replace("http", "ws") + vm + "/console"


def test_each_viewer_of_a_screen_has_a_stream_of_its_own(served: Served) -> None:
    vm, port = started(served)
    assert served.http.get(vm).json()["console_type"] == "vnc"
    with viewer(port) as one, viewer(port) as other:
        for end, said in ((one, b"abc"), (other, b"123")):
            assert exactly(end, len(HELLO)) == HELLO
            end.sendall(said)
            assert exactly(end, 3) == said[::-1], "what is no telnet passes as it is"
        with viewer(port) as third:
            assert third.recv(1) == b"", "two is all that the settings allow"
        served.http.post(f"{vm}/stop")
        assert [one.recv(1), other.recv(1)] == [b"", b""]
    assert port_is_free(port) or served.lab.consoles.owner(port)


def test_a_screen_is_seen_over_a_websocket(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    vm, _ = started(served)
    with connect(address(served, vm), subprotocols=["binary"], proxy=None) as websocket:  # type: ignore[list-item]
        assert websocket.subprotocol == "binary"
        assert websocket.recv(20) == HELLO
        websocket.send(bytes(range(256)))
        got = b""
        while len(got) < 256:
            piece = websocket.recv(20)
            assert isinstance(piece, bytes)
            got += piece
        assert got == bytes(range(256))[::-1]
        served.http.post(f"{vm}/stop")
        with pytest.raises(ConnectionClosedOK):
            websocket.recv(20)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_screen_that_cannot_be_opened_is_refused_in_words(served: Served) -> None:
    vm, port = started(served)
    found = served.lab.vms.get(vm.rsplit("/", 1)[1])
    assert found is not None
    found.data["dark"] = True
    with pytest.raises(InvalidStatus) as refused, connect(address(served, vm), proxy=None):
        pass
    assert refused.value.response.status_code == 409
    assert b"It is dark." in refused.value.response.body
    with viewer(port) as end:
        assert end.recv(1) == b""


def test_viewers_that_leave_are_forgotten(served: Served) -> None:
    vm, port = started(served)
    session = served.lab.vms.get(vm.rsplit("/", 1)[1]).session  # type: ignore[union-attr]
    screen: Any = session and session.listener
    for _ in range(4):
        with viewer(port) as end:
            assert exactly(end, len(HELLO)) == HELLO
        until(lambda: screen.viewers == 0, "the viewer to be forgotten")


def test_the_port_of_a_screen_can_be_changed_while_it_runs(served: Served) -> None:
    vm, port = started(served)
    other = port + 5
    assert served.http.put(vm, json={"console": other}).status_code == 200
    with viewer(other) as end:
        assert exactly(end, len(HELLO)) == HELLO
    with pytest.raises(ConnectionRefusedError):
        viewer(port)


def test_a_console_that_is_none_is_nowhere(served: Served) -> None:
    vm, port = started(served, console_type="none")
    assert served.http.get(vm).json()["console_type"] == "none"
    with pytest.raises(ConnectionRefusedError):
        viewer(port)
    with pytest.raises(InvalidStatus) as refused, connect(address(served, vm), proxy=None):
        pass
    assert b"its console_type is none" in refused.value.response.body
    assert served.http.put(vm, json={"console_type": "vnc"}).status_code == 409
    served.http.post(f"{vm}/stop")
    assert served.http.put(vm, json={"console_type": "telnet"}).status_code == 200
    served.http.post(f"{vm}/start")
    with viewer(port) as end:
        assert end.recv(1) == b"\xff", "telnet negotiates"


def test_a_kind_that_says_nothing_of_its_console_has_telnet_and_no_such_member(served: Served) -> None:
    vm = served.vm(served.project(), "text")
    assert "console_type" not in served.http.get(vm).json()
    assert served.http.post(f"{vm}/start").status_code == 204
    with viewer(served.http.get(vm).json()["console"]) as end:
        assert end.recv(1) == b"\xff"
