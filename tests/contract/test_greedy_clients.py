"""Memory and descriptors that clients can make a server keep, measured."""

import contextlib
import itertools
import socket
import ssl
import struct
from collections.abc import Iterator

import pytest
import trustme

from greedy import connections, resident
from support import DEADLINE, Server, running, until
from wire import Wire

MIB = 1024 * 1024
VERSION = b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives up clients so late that only what it keeps for them can be seen here."""
    root = tmp_path_factory.mktemp("patient")
    (root / "labplane.toml").write_text("head_seconds = 600\nstall_seconds = 600\nmax_connections = 1000\n")
    with running(root / "projects", "--config", str(root / "labplane.toml")) as server:
        yield server


def frame(opcode: int, data: bytes, *, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    assert len(data) < 126
    return bytes([opcode | (0x80 if fin else 0), 0x80 | len(data)]) + b"\0" * 4 + data


def flood(client: socket.socket, data: bytes, most: int) -> int:
    """Send `data` again and again until the server reads no more of it, or `most` bytes are sent; how many were."""
    client.settimeout(1)
    sent = 0
    try:
        while sent < most:
            sent += client.send(data)
    except TimeoutError:
        pass
    return sent


@pytest.mark.parametrize("size", [125, 60])
def test_a_websocket_whose_pongs_nobody_reads_is_read_no_more(size: int, patient: Server) -> None:
    before = resident(patient)
    with Wire(patient.port, receive_buffer=4096) as wire:
        wire.send(UPGRADE)
        assert wire.socket.recv(12) == b"HTTP/1.1 101"
        sent = flood(wire.socket, frame(0x9, b"x" * size) * 500, 64 * MIB)
        assert resident(patient) - before < 8 * MIB
        assert sent < 64 * MIB, "the server reads on"
    assert patient.http.get("/v1/version").status_code == 200


def test_one_whose_pongs_are_read_late_gets_them_all(patient: Server) -> None:
    """Reading goes on as soon as the client reads."""
    with Wire(patient.port, receive_buffer=4096) as wire:
        wire.send(UPGRADE)
        assert wire.socket.recv(12) == b"HTTP/1.1 101"
        pings = frame(0x9, b"x" * 125) * 500
        sent = flood(wire.socket, pings, 16 * MIB)
        wire.socket.settimeout(DEADLINE)
        pong = b"\x8a\x7d" + b"x" * 125
        wanted = sent // len(frame(0x9, b"x" * 125))
        seen = rest = b""
        count = 0
        while count < wanted:
            rest += (seen := wire.socket.recv(65536))
            assert seen
            count += rest.count(pong)
            rest = rest[rest.rfind(pong) + len(pong) :] if pong in rest else rest


@pytest.mark.parametrize(("data", "thousands"), [(b"", 500), (b"x", 250)], ids=["empty", "of one byte"])
def test_a_message_in_endless_fragments_costs_no_more_than_its_bytes(
    data: bytes, thousands: int, patient: Server
) -> None:
    before = resident(patient)
    with Wire(patient.port) as wire:
        wire.send(UPGRADE)
        assert wire.socket.recv(12) == b"HTTP/1.1 101"
        wire.send(frame(0x1, b"begin", fin=False))
        for _ in range(thousands):
            wire.send(frame(0x0, data, fin=False) * 1000)
        wire.send(frame(0x9, b"all read"))
        until(lambda: b"all read" in wire.socket.recv(65536), "the pong after the fragments")
        assert resident(patient) - before < 7 * MIB


@pytest.mark.parametrize("requests", [1, 2])
def test_a_connection_that_was_reset_before_it_read_its_replies_leaves_nothing(requests: int, patient: Server) -> None:
    """It was kept until it had been idle for 75 seconds, with the reply that it had not read."""

    def visit(count: int) -> None:
        for _ in range(count):
            with Wire(patient.port, receive_buffer=2048) as wire:
                wire.send(VERSION.replace(b"version", b"openapi.json") * requests)
                assert wire.socket.recv(100)
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    visit(200)
    before, files = resident(patient), connections(patient)
    visit(1000)
    until(lambda: connections(patient) <= files, "the end of the connections")
    assert resident(patient) - before < 6 * MIB


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", "é".encode()[:1] + b"x"])
def test_text_that_is_not_utf_8_ends_a_websocket_with_1007_and_no_traceback(data: bytes, patient: Server) -> None:
    for frames in (frame(0x1, data), frame(0x1, data, fin=False) + frame(0x0, b"", fin=True)):
        with Wire(patient.port) as wire:
            wire.send(UPGRADE)
            assert wire.socket.recv(12) == b"HTTP/1.1 101"
            wire.send(frames)
            received = b""
            while more := wire.more():
                received += more
            assert (1007).to_bytes(2, "big") in received
    assert "Traceback" not in patient.log
    assert "Invalid UTF-8" not in patient.log


def test_text_whose_characters_are_cut_by_frames_is_whole(patient: Server) -> None:
    with Wire(patient.port) as wire:
        wire.send(UPGRADE)
        assert wire.socket.recv(12) == b"HTTP/1.1 101"
        wire.send(frame(0x1, b"\xc3", fin=False) + frame(0x0, b"\xa9") + frame(0x9, b"still there"))
        until(lambda: b"still there" in wire.socket.recv(65536), "a pong")


def test_one_address_takes_no_more_than_its_share(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("shared")
    (root / "labplane.toml").write_text(
        'max_connections = 40\nmax_peer_connections = 6\nhost = "0.0.0.0"\ninsecure = true'
    )
    with running(root / "projects", "--config", str(root / "labplane.toml")) as server:
        crowd = []
        try:
            for _ in range(20):
                crowd.append(socket.socket())
                crowd[-1].bind(("127.0.0.9", 0))
                crowd[-1].connect(("127.0.0.1", server.port))
                crowd[-1].sendall(VERSION)
            replies = [client.recv(65536) for client in crowd]
            refused = [reply for reply in replies if b" 503 " in reply.partition(b"\r\n")[0]]
            assert len(refused) == 14
            assert b"\r\nretry-after: 1\r\n" in refused[0].lower()
            assert server.http.get("/v1/version").status_code == 200, "another address is served"
        finally:
            for client in crowd:
                client.close()


def test_a_crowd_that_does_not_leave_when_refused_takes_no_more_than_twice_its_places(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("flooded")
    (root / "labplane.toml").write_text("max_connections = 20\n")
    with running(root / "projects", "--config", str(root / "labplane.toml")) as server:
        server.http.close()
        before = connections(server)
        crowd: list[socket.socket] = []
        try:
            crowd += [socket.create_connection(("127.0.0.1", server.port), DEADLINE) for _ in range(200)]
            with contextlib.suppress(ConnectionResetError):
                assert crowd[-1].recv(1) == b"", "it was told something"
            assert connections(server) <= before + 40
        finally:
            for client in crowd:
                client.close()


HANDSHAKE_SECONDS = 4


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def encrypted(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """A server with TLS, on either event loop, with few connections."""
    root = tmp_path_factory.mktemp("encrypted")
    (root / "asyncio").mkdir()
    (root / "asyncio" / "uvloop.py").write_text("raise ImportError")
    environment = {"PYTHONPATH": str(root / "asyncio")} if request.param == "asyncio" else {}
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(root / "lab.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    (root / "labplane.toml").write_text(
        f'max_connections = 20\nhead_seconds = {HANDSHAKE_SECONDS}\ncertfile = "{root}/lab.pem"\n'
    )
    options = ("--config", str(root / "labplane.toml"))
    with running(root / "projects", *options, environment=environment, verify=trusting) as server:
        yield server


def test_tls_handshakes_that_never_end_are_limited_in_number_and_time(encrypted: Server) -> None:
    hellos = itertools.cycle((b"", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n\r\n"))
    before = connections(encrypted)
    crowd: list[socket.socket] = []
    try:
        for _ in range(100):
            crowd.append(socket.create_connection(("127.0.0.1", encrypted.port), DEADLINE))
            with contextlib.suppress(ConnectionError):
                crowd[-1].sendall(next(hellos))
        # Before the time of a handshake is over, which would end all of them.
        until(lambda: connections(encrypted) <= before + 20, "the refusal of all but 20", HANDSHAKE_SECONDS - 1)
        for client in crowd:
            with contextlib.suppress(ConnectionResetError):
                while client.recv(4096):
                    pass
        until(lambda: connections(encrypted) <= before, "the end of the handshakes")
    finally:
        for client in crowd:
            client.close()
    assert encrypted.http.get("/v1/version").status_code == 200
    assert "Traceback" not in encrypted.log
    assert "never retrieved" not in encrypted.log


def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(
    encrypted: Server, authority: trustme.CA
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for _ in range(20):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", encrypted.port), DEADLINE) as line:
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            line.sendall(outgoing.read())
            while True:
                incoming.write(came := line.recv(65536))
                assert came, "the server hung up"
                try:
                    client.do_handshake()
                except ssl.SSLWantReadError:
                    line.sendall(outgoing.read())
                    continue
                break
            client.write(VERSION)
            line.sendall(outgoing.read())
            answer = b""
            while b"1.3.dev1" not in answer:
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer += client.read(65536)
                    continue
                incoming.write(more := line.recv(65536))
                assert more, "the server hung up"
        assert answer.startswith(b"HTTP/1.1 200")
