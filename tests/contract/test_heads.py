"""Heads that two readers could take for two things are refused, and trailers are not taken for headers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from expect import shown
from greedy import resident
from support import Server, running
from wire import Wire

TOKEN = "t" * 43


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants its token and takes heads of 8 KiB."""
    root = tmp_path_factory.mktemp("locked")
    (root / "labplane.toml").write_text(f'auth = "token"\ntoken = "{TOKEN}"\nmax_head = 8192\n')
    with running(root / "projects", "--config", str(root / "labplane.toml")) as server:
        yield server


def chunked(wire: Wire, trailers: bytes, *headers: str) -> int:
    """The status of a POST with an empty object as its body, in chunks, and these lines after it."""
    lines = ["POST /v1/projects HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked", *headers, "", ""]
    wire.send("\r\n".join(lines).encode() + b"2\r\n{}\r\n0\r\n" + trailers + b"\r\n")  # to be read at once
    return wire.reply().status


@pytest.mark.parametrize("trailer", ["Authorization: Bearer " + TOKEN, "Cookie: labplane_session=x", "X-Any: 1"])
def test_a_trailer_lets_nobody_in(trailer: str, locked: Server) -> None:
    with Wire(locked.port) as wire:
        assert chunked(wire, f"{trailer}\r\n".encode()) == 401
        assert chunked(wire, b"", f"Authorization: Bearer {TOKEN}") == 201


@pytest.mark.parametrize("name", ["Origin", "origin"])
def test_a_trailer_does_not_replace_the_origin(name: str, server: Server) -> None:
    before = len(shown(server.http.get("/v1/projects")))
    with Wire(server.port) as wire:
        own = f"{name}: http://localhost\r\n".encode()
        assert chunked(wire, own, "Origin: http://evil.example") == 403
        assert chunked(wire, b"Origin: http://evil.example\r\n") == 201
    assert len(shown(server.http.get("/v1/projects"))) == before + 1


def test_a_trailer_is_not_taken_for_the_name_of_the_server(server: Server) -> None:
    with Wire(server.port) as wire:
        head = b"POST /v1/projects HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire.send(head + b"0\r\nHost: localhost\r\n\r\n")
        assert wire.reply().status == 403


@pytest.mark.parametrize("piece", [b"X: " + b"x" * 1000 + b"\r\n", b"x" * 1000], ids=["many", "one without an end"])
def test_trailers_are_bounded_in_size_and_memory(piece: bytes, locked: Server) -> None:
    with Wire(locked.port) as wire:
        wire.head("POST", "/v1/projects", "Transfer-Encoding: chunked")
        wire.send(b"2\r\n{}\r\n0\r\nX: ")
        before = resident(locked)
        try:
            for _ in range(64 * 1024):
                wire.send(piece)
        except ConnectionError:
            pass
        assert resident(locked) - before < 4 * 1024 * 1024
    assert locked.http.get("/v1/version").status_code == 401


def test_trailers_that_are_too_large_are_told_so(locked: Server) -> None:
    with Wire(locked.port) as wire:
        wire.head("POST", "/v1/projects", "Transfer-Encoding: chunked", f"Authorization: Bearer {TOKEN}")
        wire.send(b"2\r\n{}\r\n0\r\n")
        for _ in range(5):
            assert locked.http.get("/v1/version").status_code == 401, "the server has read what came before"
            wire.send(b"X-Trailer: 1\r\n" * 200)
        reply = wire.reply()
        assert (reply.status, json.loads(reply.body)["message"]) == (
            431,
            "The trailers of the request are larger than 8192 bytes.",
        )


LINE = b"POST /v1/projects HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(LINE + b"Content-Length: 2\r\n", id="no Host"),
        pytest.param(LINE + HOST + HOST, id="Host twice"),
        pytest.param(LINE + HOST + b"host: evil.example\r\n", id="two Hosts"),
        pytest.param(LINE.replace(b"1.1", b"1.0") + HOST + HOST, id="Host twice in HTTP/1.0"),
        pytest.param(LINE + HOST + b"Origin: http://evil.example\r\nOrigin: http://localhost\r\n", id="two Origins"),
        pytest.param(LINE + HOST + b"Authorization: Bearer a\r\nauthorization: Bearer b\r\n", id="two tokens"),
        pytest.param(LINE + HOST + b"Content-Length: 2\r\nContent-Length: 2\r\n", id="Content-Length twice"),
        pytest.param(LINE + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n", id="two lengths"),
        pytest.param(LINE + HOST + b"Content-Length: 2, 2\r\n", id="a list of lengths"),
        pytest.param(LINE + HOST + b"Content-Length: +2\r\n", id="a length with a sign"),
        pytest.param(LINE + HOST + b"Content-Length: -1\r\n", id="a negative length"),
        pytest.param(LINE + HOST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", id="length and chunks"),
        pytest.param(LINE + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", id="chunks and length"),
        pytest.param(LINE + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", id="chunks twice"),
        pytest.param(LINE + HOST + b"Transfer-Encoding: gzip\r\n", id="an encoding without chunks"),
        pytest.param(LINE + HOST + b"Transfer-Encoding: chunked, identity\r\n", id="chunks not last"),
        pytest.param(LINE + HOST + b"Transfer-Encoding: xchunked\r\n", id="an unknown encoding"),
        pytest.param(LINE + HOST + b"Content-Length : 2\r\n", id="a space before the colon"),
        pytest.param(LINE + HOST + b"X: a\r\n b\r\n", id="a folded line"),
        pytest.param(LINE + b" " + HOST, id="a head that begins with a space"),
    ],
)
def test_a_head_with_two_meanings_is_refused(head: bytes, server: Server) -> None:
    """T-16: nothing is done, and the connection ends, since nobody knows where the next request begins."""
    before = len(shown(server.http.get("/v1/projects")))
    with Wire(server.port) as wire:
        wire.send(head + b"\r\n{}")
        reply = wire.reply()
        assert (reply.status, json.loads(reply.body)["status"]) == (400, 400)
        assert wire.is_closed()
    assert len(shown(server.http.get("/v1/projects"))) == before


@pytest.mark.parametrize(
    "twice",
    [
        ["Host: localhost"],
        ["Origin: http://127.0.0.1", "Origin: http://evil.example"],
        ["Content-Length: 0"],
        ["Transfer-Encoding: chunked"],
    ],
    ids=["two Hosts", "two Origins", "a length", "chunks"],
)
def test_so_is_the_handshake_of_a_websocket(twice: list[str], server: Server) -> None:
    handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    with Wire(server.port) as wire:
        wire.head("GET", "/v1/events", *handshake, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *twice)
        if twice == ["Transfer-Encoding: chunked"]:
            wire.send(b"0\r\nAuthorization: Bearer x\r\n\r\n")
        assert wire.reply().status == 400


def test_what_may_stand_more_than_once_may(server: Server) -> None:
    with Wire(server.port) as wire:
        reply = wire.call("GET", "/v1/version", b"", "Accept: text/html", "Accept: */*", "Cookie: a=1", "Cookie: b=2")
    assert reply.status == 200


def test_no_browser_takes_json_for_a_page(server: Server, tmp_path: Path) -> None:
    """T-5: refusals by the kernel, by the checks and by connections alike."""
    for path, headers in (("/v1/version", {}), ("/v1/nowhere", {}), ("/v1/version", {"Origin": "http://evil.example"})):
        assert server.http.get(path, headers=headers).headers["x-content-type-options"] == "nosniff"
    with Wire(server.port) as wire:
        wire.send(b"no HTTP\r\n\r\n")
        assert wire.reply().headers["x-content-type-options"] == "nosniff"


def test_many_requests_whose_bodies_come_after_their_heads_are_no_trailers(server: Server) -> None:
    """As most clients send them: on one connection, the head in one piece and the body in the next."""
    with Wire(server.port) as wire:
        for _ in range(100):
            wire.head("POST", "/v1/version", "Content-Length: 2", "Expect: 100-continue", f"X-Filler: {'x' * 1000}")
            assert wire._incoming.peek(12).startswith(b"HTTP/1.1 100")  # the head has been read by now
            wire.send(b"{}")
            assert wire.reply().status == 400
