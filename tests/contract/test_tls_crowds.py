"""TLS handshakes that do not end, from real sockets, on uvloop and on asyncio: they count from the first packet."""

import contextlib
import resource
import signal
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import trustme

from greedy import connections, resident
from support import DEADLINE, Server, running, until

MIB = 1024 * 1024
PEER, OTHER = "127.0.0.9", "127.0.0.10"
VERSION = b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00"
SETTINGS = """
max_connections = 40
max_peer_connections = 6
head_seconds = {head}
host = "127.0.0.1"
certfile = "lab.pem"
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextlib.contextmanager
def encrypted(root: Path, authority: trustme.CA, trusting: ssl.SSLContext, loop: str, head: int) -> Iterator[Server]:
    """A server with TLS on that loop, which takes 6 connections of one address and gives up heads after `head` s."""
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(root / "lab.pem")
    (root / "labplane.toml").write_text(SETTINGS.format(head=head))
    hidden = {}
    if loop == "asyncio":  # as where uvloop is not installed
        (root / "without").mkdir()
        (root / "without" / "uvloop.py").write_text('raise ImportError("not installed")\n')
        hidden = {"PYTHONPATH": str(root / "without")}
    options = ["--config", str(root / "labplane.toml")]
    with running(root / "projects", *options, verify=trusting, environment=hidden, cwd=root) as server:
        assert ("uvloop" in Path(f"/proc/{server.process.pid}/maps").read_text()) == (loop == "uvloop")
        server.http.close()
        until(lambda: clients(server) == 0, "a server without clients")
        yield server


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(
    request: pytest.FixtureRequest,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """One that gives handshakes up so late that here only their number is limited."""
    root = tmp_path_factory.mktemp(request.param)
    with encrypted(root, authority, trusting, request.param, 600) as made:
        yield made
    assert "Traceback" not in made.log
    assert "never retrieved" not in made.log


def clients(server: Server) -> int:
    """How many connections of clients the server's process has."""
    sockets = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(one.laddr[1] == server.port and bool(one.raddr) for one in sockets)


def connected(server: Server, address: str) -> socket.socket:
    client = socket.socket()
    client.settimeout(DEADLINE)
    client.bind((address, 0))
    client.connect(("127.0.0.1", server.port))
    return client


def reply(server: Server, trusting: ssl.SSLContext, address: str) -> bytes:
    """The status line that a client at that address gets; nothing when it is closed without one."""
    with connected(server, address) as line:
        try:
            with trusting.wrap_socket(line, server_hostname="localhost") as client:
                client.sendall(VERSION)
                return client.recv(65536).partition(b"\r\n")[0]
        except (ConnectionError, ssl.SSLError):
            return b""


@contextlib.contextmanager
def crowd(server: Server, size: int, address: str, hello: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many clients at that address that say this and no more."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server, address)) for _ in range(size)]
        for client in clients:
            with contextlib.suppress(ConnectionError):
                client.sendall(hello)
        yield clients


def served(server: Server, trusting: ssl.SSLContext, address: str) -> bool:
    return reply(server, trusting, address).endswith(b" 200 OK")


@pytest.mark.parametrize("hello", [b"", HALF_A_HELLO], ids=["silent", "half a hello"])
def test_handshakes_of_one_address_take_no_more_than_its_share(
    hello: bytes, server: Server, trusting: ssl.SSLContext
) -> None:
    until(lambda: served(server, trusting, PEER), "a server without a crowd")
    until(lambda: clients(server) == 0, "a server without clients")
    memory, files = resident(server), connections(server)
    with crowd(server, 200, PEER, hello):
        until(lambda: served(server, trusting, OTHER), "a reply to another address")
        assert connections(server) <= files + 6 + 40 + 1, "its share, as many refused as there are places, one served"
        assert resident(server) - memory < (6 + 40) * MIB // 2, "asyncio's TLS takes 256 KiB for each"
        # Those that were refused are given up at once, those that were not are still there.
        until(lambda: connections(server) <= files + 6, "the end of the refused ones")
        assert reply(server, trusting, PEER) == b"HTTP/1.1 503 Service Unavailable"
    until(lambda: connections(server) <= files, "the end of the others")
    assert served(server, trusting, PEER)


def test_a_handshake_that_is_reset_gives_its_place_back(server: Server, trusting: ssl.SSLContext) -> None:
    for _ in range(10):
        with crowd(server, 6, PEER, HALF_A_HELLO) as clients:
            until(lambda: not served(server, trusting, PEER), "a refusal")
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: served(server, trusting, PEER), "the places")


@pytest.mark.parametrize("hello", [VERSION, b"\x16\x03\x01\x00\x05hello", b"\0" * 100_000])
def test_one_that_is_no_handshake_gives_its_place_back(hello: bytes, server: Server, trusting: ssl.SSLContext) -> None:
    for _ in range(3):
        with crowd(server, 6, PEER, hello) as clients:
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    while client.recv(4096):
                        pass
    until(lambda: served(server, trusting, PEER), "the places")


def test_a_connection_gives_its_place_back_after_its_handshake_too(server: Server, trusting: ssl.SSLContext) -> None:
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                line = stack.enter_context(connected(server, PEER))
                stack.enter_context(trusting.wrap_socket(line, server_hostname="localhost"))
            assert reply(server, trusting, PEER) == b"HTTP/1.1 503 Service Unavailable"
        until(lambda: served(server, trusting, PEER), "the places")


def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(
    server: Server, trusting: ssl.SSLContext
) -> None:
    for _ in range(20):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with connected(server, OTHER) as line:
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    line.sendall(outgoing.read())
                    incoming.write(line.recv(65536))
            client.write(VERSION)
            line.sendall(outgoing.read())
            answer = b""
            while b"}" not in answer:
                try:
                    answer += client.read(65536)
                except ssl.SSLWantReadError:
                    more = line.recv(65536)
                    assert more, "the server hung up"
                    incoming.write(more)
        assert answer.startswith(b"HTTP/1.1 200")


def test_a_server_without_descriptors_accepts_again_when_it_has_some(server: Server, trusting: ssl.SSLContext) -> None:
    until(lambda: clients(server) == 0, "a server without clients")
    usual = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (0, usual[1]))
    with connected(server, OTHER) as line:
        until(lambda: "No connection can be accepted for 1 s: Too many open files." in server.log, "its complaint")
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, usual)
        with trusting.wrap_socket(line, server_hostname="localhost") as client:
            client.sendall(VERSION)
            assert b" 200 OK" in client.recv(65536)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_handshake_that_does_not_end_is_given_up(
    loop: str, authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    with encrypted(tmp_path, authority, trusting, loop, 1) as server:
        files = connections(server)
        with crowd(server, 3, PEER) as silent, crowd(server, 3, PEER, HALF_A_HELLO) as begun:
            for client in (*silent, *begun):
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
            until(lambda: connections(server) <= files, "the end of the handshakes")
            assert served(server, trusting, PEER)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_server_that_ends_waits_for_no_handshake(
    loop: str, authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    with encrypted(tmp_path, authority, trusting, loop, 600) as server:
        with crowd(server, 6, PEER, HALF_A_HELLO):
            until(lambda: clients(server) == 6, "the handshakes")
            assert server.stop() == -signal.SIGTERM
        assert "Traceback" not in server.log
        assert "graceful shutdown exceeded" not in server.log
