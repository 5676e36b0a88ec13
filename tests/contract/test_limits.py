"""Each limit of [settings.md] holds, and who runs into one hurts nobody else."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from expect import refusal, shown
from machines import linked, start
from support import DEADLINE, Server, Viewer, running, until
from wire import Wire

CONFIG = """
max_head = 4096
max_depth = 8
max_connections = 12
max_viewers = 2
max_vms = 2
head_seconds = 1
stall_seconds = 1
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("small")
    (root / "labplane.toml").write_text(CONFIG)
    with running(root / "projects", "--config", str(root / "labplane.toml")) as server:
        yield server


def connected(server: Server, data: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), DEADLINE)
    client.sendall(data)
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    received = b""
    while data := client.recv(65536):
        received += data
    return received


def told(client: socket.socket) -> tuple[int, str]:
    """Status and message of the only reply, after which the server hangs up."""
    head, _, body = rest(client).partition(b"\r\n\r\n")
    assert b"content-type: application/json\r\n" in head + b"\r\n"
    found = json.loads(body)
    assert head.split(b" ")[1] == str(found["status"]).encode()
    return found["status"], found["message"]


def test_a_connection_that_says_nothing_is_closed(small: Server) -> None:
    with connected(small) as client:
        assert rest(client) == b""


@pytest.mark.parametrize("count", [1, 1000])
def test_one_that_says_empty_lines_is_closed_as_well(count: int, small: Server) -> None:
    """They do no harm to requests: RFC 9112, 2.2."""
    nothing = b"\r\n" * count
    with connected(small, nothing) as client:
        assert rest(client) == b""
    with Wire(small.port) as wire:
        for _ in range(2):
            wire.send(nothing)
            assert wire.call("GET", "/v1/version").status == 200
        wire.send(nothing)
        assert wire.is_closed()


@pytest.mark.parametrize(
    "head", [b"G", b"GET /v1/version HTTP/1.1\r\n", b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\nX"]
)
def test_a_head_that_does_not_end_in_time_is_refused(head: bytes, small: Server) -> None:
    with connected(small, head) as client:
        assert small.http.get("/v1/version").status_code == 200, "others are served meanwhile"
        assert told(client) == (408, "Nothing more of the request came for 1 seconds.")


def test_one_that_comes_drop_by_drop_is_refused_as_well(small: Server) -> None:
    """Slowloris: there is always a little more to come."""
    began = time.monotonic()
    with connected(small, b"GET /v1/version HTTP/1.1\r\n") as client:
        client.settimeout(0.05)
        answer = b""
        while not answer and time.monotonic() < began + DEADLINE:
            try:
                client.sendall(b"X-More: 1\r\n")
                answer = client.recv(65536)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_second_request_on_a_connection_has_to_come_in_time_too(small: Server) -> None:
    with Wire(small.port) as wire:
        assert wire.call("GET", "/v1/version").status == 200
        wire.send(b"GET /v1/ver")
        assert wire.reply().status == 408


def test_a_stalled_upload_is_refused_and_holds_no_vm(small: Server) -> None:
    """L-5."""
    project = small.project()
    vm = small.vm(project)
    head = f"PUT {vm} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode()
    with connected(small, head + b'{"name"') as client:
        assert shown(small.http.get(vm))["name"] == "PC"
        assert told(client)[0] == 408
    small.http.delete(project)


def test_an_upload_that_goes_on_is_not(small: Server) -> None:
    project = small.project()
    head = f"PUT {project} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\nConnection: close\r\n\r\n".encode()
    with connected(small, head) as client:
        for byte in b'{"name": "later"}':
            client.sendall(bytes([byte]))
            time.sleep(0.1)  # the point: slow, but never silent for a second
        assert b'"name": "later"' in rest(client)
    small.http.delete(project)


def test_who_does_not_read_its_replies_is_hung_up(small: Server) -> None:
    request = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", small.port))
        client.settimeout(0.2)
        try:
            while True:
                client.sendall(request * 50)
        except (TimeoutError, ConnectionError):
            pass  # the server reads no more either
        assert small.http.get("/v1/version").status_code == 200

        def gone() -> bool:
            try:
                client.sendall(request)
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            return False

        until(gone, "the server to hang up")


def test_a_head_that_is_too_long_is_refused(small: Server) -> None:
    whole = b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 5000 + b"\r\n\r\n"
    with connected(small, whole) as client:
        assert told(client) == (431, "The head of the request is larger than 4096 bytes.")
    with connected(small, b"GET /" + b"x" * 5000) as client:
        assert told(client)[0] == 431
    with connected(small, b"GET /v1/version HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 400) as client:
        assert told(client)[0] == 431
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with connected(small, whole.removesuffix(b"\r\n") + upgrade) as client:
        assert told(client)[0] == 431
    with Wire(small.port) as wire:
        assert wire.call("GET", "/v1/version", b"", "X-Long: " + "x" * 3000).status == 200


def test_a_body_that_is_nested_too_deep_is_refused(small: Server) -> None:
    message = refusal(small.http.post("/v1/projects", content=b"[" * 9 + b"]" * 9), 400)
    assert "The body is nested more than 8 levels deep." in str(message)
    assert "must be of type object" in str(refusal(small.http.post("/v1/projects", content=b"[" * 8 + b"]" * 8), 400))


def test_more_connections_than_allowed_are_told_to_come_again(small: Server) -> None:
    with_reply = b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    crowd = [connected(small, with_reply) for _ in range(14)]
    try:
        firsts = [client.recv(65536) for client in crowd]
        refused = [reply for reply in firsts if b" 503 " in reply]
        assert refused
        assert b"This server takes 12 connections at once." in refused[0] + rest(crowd[firsts.index(refused[0])])
        assert sum(b" 200 " in reply for reply in firsts) >= 10
    finally:
        for client in crowd:
            client.close()
    until(lambda: small.http.get("/v1/version").status_code == 200, "room for others")


def test_a_console_takes_so_many_viewers_and_tells_the_next(small: Server) -> None:
    project = small.project()
    vm = linked(small, project)
    start(small, vm)
    console = shown(small.http.get(vm))["console"]
    with Viewer(console) as one, Viewer(console) as two:
        one.until(b"VPCS> ")
        two.until(b"VPCS> ")
        with Viewer(console) as three:
            assert b"This console has 2 viewers already." in three.until_closed()
        one.type("show")
        two.until(b"show")
    with Viewer(console) as four:
        four.until(b"VPCS> ")
    small.http.delete(project)


def test_a_project_takes_so_many_vms(small: Server) -> None:
    project = small.project()
    vms = [small.vm(project) for _ in range(2)]
    message = refusal(small.http.post(f"{project}/vpcs/vms", json={"name": "PC"}), 409)
    assert "The project has 2 VMs, which is all that the settings allow" in str(message)
    small.http.delete(vms[0])
    small.vm(project)
    small.vm(small.project())
