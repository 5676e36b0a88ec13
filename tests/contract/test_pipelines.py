"""Requests sent before the replies to earlier ones have come (T-15): each is answered, and in its turn."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from expect import nothing, shown
from support import Server, running, until
from wire import Reply, Wire

CONFIG = """
max_head = 4096
max_requests = 2
head_seconds = 1
stall_seconds = 1

[plugins.events]
ping_seconds = 1
"""

VERSION = b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVENTS = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
UPGRADE = (
    b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
BROKEN = (
    b'POST /v1/projects HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"name"\r\nno size\r\n'
)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that does two requests at once."""
    root = tmp_path_factory.mktemp("busy")
    (root / "labplane.toml").write_text(CONFIG)
    with running(root / "projects", "--config", str(root / "labplane.toml")) as server:
        yield server


def told(reply: Reply) -> tuple[int, str]:
    found = json.loads(reply.body)
    assert reply.headers["content-type"] == "application/json"
    assert found.keys() == {"message", "status"}
    assert found["status"] == reply.status
    return reply.status, found["message"]


def test_replies_come_in_the_order_of_their_requests(busy: Server) -> None:
    with Wire(busy.port) as wire:
        wire.send(VERSION + VERSION.replace(b"version", b"nowhere") + VERSION.replace(b"GET", b"HEAD") + VERSION)
        assert [wire.reply(method).status for method in ("GET", "GET", "HEAD", "GET")] == [200, 404, 200, 200]


def test_a_client_that_goes_is_missed_by_the_request_that_others_wait_for(busy: Server) -> None:
    """Streams that nobody reads would take the server's two turns for ever."""
    for _ in range(3):
        with Wire(busy.port) as wire:
            wire.send(EVENTS + VERSION)
            assert wire.socket.recv(12) == b"HTTP/1.1 200"
        with ExitStack() as wires:
            for turn in ("the turn that is left", "that of the client that went"):
                until(lambda: streams(wires.enter_context(Wire(busy.port))), turn)
        until(lambda: busy.http.get("/v1/version").status_code == 200, "a turn")


def streams(wire: Wire) -> bool:
    """Whether the wire gets a stream of events, for which there has to be a turn."""
    wire.send(EVENTS)
    return wire.socket.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("what", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS"),
        pytest.param(b"GET /v1/vers\0ion HTTP/1.1\r\n\r\n", 400, id="NUL"),
        pytest.param(b"GET http://[/v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, id="no URL"),
        pytest.param(BROKEN, 400, id="a chunk without a size"),
        pytest.param(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 431, id="a long head"),
        pytest.param(b"GET /v1/vers", 408, id="half a head"),
        pytest.param(BROKEN[:-9], 408, id="half a body"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_its_turn(busy: Server, what: bytes, status: int) -> None:
    """T-8: after the replies to what came before it, in the form of any error, and as the last on the connection."""
    for before in (0, 1, 2):
        with Wire(busy.port) as wire:
            wire.send(VERSION * before + what)
            assert [wire.reply().status for _ in range(before)] == [200] * before
            assert told(wire.reply())[0] == status
            assert wire.is_closed()
    assert shown(busy.http.get("/v1/projects")) == []


def test_nothing_is_said_after_the_last_word(busy: Server) -> None:
    """Neither the reply to a request that came after the last one, nor that a refused body may be sent."""
    with Wire(busy.port) as wire:
        wire.send(VERSION.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + VERSION + b"GET /\0")
        assert wire.reply().status == 200
        assert wire.is_closed()
    with Wire(busy.port) as wire:
        wire.send(BROKEN.replace(b"Host:", b"Expect: 100-continue\r\nHost:"))
        assert told(wire.reply())[0] == 400
        assert wire.is_closed()
    assert busy.http.get("/v1/version").status_code == 200
    assert "Traceback" not in busy.log


def test_a_head_that_does_not_end_is_refused_however_it_comes(busy: Server) -> None:
    for pieces in ([VERSION + b"GET /", b"x" * 5000], [VERSION + b"GET /" + b"x" * 4000]):
        with Wire(busy.port) as wire:
            for piece in pieces:
                wire.send(piece)
                if piece.startswith(VERSION):
                    assert wire.reply().status == 200
            assert told(wire.reply())[0] == (431 if len(pieces) == 2 else 408)
            assert wire.is_closed()


def test_a_body_that_nobody_waits_for_does_not_undo_the_replies(busy: Server) -> None:
    """The last reply comes before the body is complete, and most of the one before it has not been read yet."""
    with Wire(busy.port, receive_buffer=4096) as wire:
        wire.send(VERSION.replace(b"version", b"openapi.json"))
        wire.head("PUT", "/v1/nowhere", "Connection: close", "Content-Length: 9")
        for piece in (b"a", b"b", b"c"):
            wire.send(piece)
            assert busy.http.get("/v1/version").status_code == 200
        assert json.loads(wire.reply().body)["openapi"].startswith("3.")
        assert told(wire.reply())[0] == 404
        assert wire.is_closed()


def test_an_empty_line_after_a_request_does_no_harm_to_its_reply(busy: Server) -> None:
    """However long that takes; some clients send one after a body."""
    with Wire(busy.port) as wire:
        wire.send(EVENTS)
        assert wire.socket.recv(12) == b"HTTP/1.1 200"
        wire.send(b"\r\n")
        received = b""
        while received.count(b"ping") < 3:
            received += (more := wire.more())
            assert more, received


def test_a_websocket_waits_for_the_replies_before_it(busy: Server) -> None:
    with Wire(busy.port) as wire:
        wire.send(VERSION + UPGRADE)
        assert wire.reply().status == 200
        assert told(wire.reply()) == (400, "A WebSocket has to wait for the replies to the requests before it.")
        assert wire.is_closed()
    with Wire(busy.port) as wire:
        assert wire.call("GET", "/v1/version").status == 200
        wire.send(UPGRADE)
        assert wire.socket.recv(12) == b"HTTP/1.1 101"


def test_a_refusal_does_not_cut_off_a_stream_before_it(busy: Server) -> None:
    """T-15: the client may read it for as long as it likes."""
    project = busy.project()
    with Wire(busy.port) as wire:
        wire.send(EVENTS + b"no HTTP\r\n\r\n")
        seen = wire.socket.recv(65536)
        time.sleep(1.2)  # longer than any refusal lingers
        busy.vm(project, "seen by the stream")
        while b"seen by the stream" not in seen and (data := wire.socket.recv(65536)):
            seen += data
        assert b"seen by the stream" in seen
    nothing(busy.http.delete(project))


def test_what_is_left_of_a_refused_body_gets_no_second_reply(busy: Server) -> None:
    """T-10, T-12: neither when it is broken nor when it never comes."""
    for rest in (b"no size\r\n", b""):
        with Wire(busy.port) as wire:
            wire.send(b"POST /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert wire.reply().status == 404
            wire.send(rest)
            assert wire.is_closed()
