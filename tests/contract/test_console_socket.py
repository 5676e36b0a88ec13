"""M-15: a console over a WebSocket, the same session as over telnet, through the server's own door."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from expect import nothing, shown
from machines import linked, start
from support import DEADLINE, Server, Viewer, running, until

UNKNOWN = "00010203-0405-0607-0809-0a0b0c0d0e0f"


@contextmanager
def viewing(server: Server, vm: str, query: str = "", **more: Any) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}{vm}/console{query}"
    with connect(url, open_timeout=DEADLINE, close_timeout=1, proxy=None, **more) as viewer:
        yield viewer


def seen(viewer: ClientConnection, words: bytes) -> bytes:
    """What came up to `words`, from binary frames."""
    found = b""
    end = time.monotonic() + DEADLINE
    while words not in found:
        frame = viewer.recv(timeout=max(0.0, end - time.monotonic()))
        assert isinstance(frame, bytes)
        found += frame
    return found


def closed(viewer: ClientConnection) -> tuple[int, bytes]:
    """The code with which the server closes, and what came before."""
    rest = b""
    try:
        while True:
            frame = viewer.recv(timeout=DEADLINE)
            assert isinstance(frame, bytes)
            rest += frame
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd else 0, rest


@pytest.fixture
def running_vm(server: Server, vm: str) -> str:
    start(server, vm)
    return vm


def test_it_shows_what_went_before_then_what_is_typed_to_everybody(server: Server, running_vm: str) -> None:
    console = shown(server.http.get(running_vm))["console"]
    with Viewer(console) as telnet, viewing(server, running_vm) as one:
        telnet.until(b"VPCS> ")
        assert b"Welcome to Virtual PC Simulator" in seen(one, b"VPCS> ")
        one.send(b"set pcname ABC\r\n")
        telnet.until(b"ABC> ")
        seen(one, b"ABC> ")
        with viewing(server, running_vm) as two:
            assert b"Welcome to Virtual PC Simulator" in seen(two, b"ABC> ")
            telnet.type("set pcname DEF")
            seen(one, b"DEF> ")
            seen(two, b"DEF> ")
            two.send("set pcname GHI\n")  # as text, with the Enter of a Unix shell
            seen(one, b"GHI> ")


def test_disconnect_closes_it_with_a_word_and_the_vm_goes_on(server: Server, running_vm: str) -> None:
    """Q-9."""
    with viewing(server, running_vm) as one, viewing(server, running_vm) as two:
        seen(one, b"VPCS> ")
        seen(two, b"VPCS> ")
        one.send(b"disconnect\r")
        code, rest = closed(one)
        assert (code, b"Good-bye" in rest) == (1000, True)
        two.send(b"show\r")
        seen(two, b"VPCS> ")
    assert shown(server.http.get(running_vm))["status"] == "started"


def test_it_ends_with_the_vm(server: Server, running_vm: str) -> None:
    with viewing(server, running_vm) as viewer:
        seen(viewer, b"VPCS> ")
        nothing(server.http.post(f"{running_vm}/stop"))
        assert closed(viewer)[0] == 1000


def test_it_holds_no_lock(server: Server, running_vm: str) -> None:
    """L-1: whoever views for hours keeps nobody waiting."""
    with viewing(server, running_vm) as viewer:
        seen(viewer, b"VPCS> ")
        nothing(server.http.post(f"{running_vm}/reload"))
        assert closed(viewer)[0] == 1000
    with viewing(server, running_vm) as viewer:
        seen(viewer, b"VPCS> ")


def refused(server: Server, path: str, **more: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refusal, viewing(server, path, **more):
        pass
    reply = refusal.value.response
    return reply.status_code, json.loads(reply.body or b'{"message": ""}')["message"]


def test_where_there_is_nobody_it_is_refused_with_a_sentence(server: Server, vm: str, project: str) -> None:
    """E-3."""
    status, message = refused(server, vm)
    assert (status, "does not run; start it first" in message) == (409, True)
    assert refused(server, f"{project}/vpcs/vms/{UNKNOWN}")[0] == 404
    assert refused(server, f"/v1/projects/{UNKNOWN}/vpcs/vms/{UNKNOWN}")[0] == 404
    assert refused(server, f"{project}/vpcs/vms/x")[0] == 400


def test_a_web_page_of_another_origin_is_kept_out(server: Server, running_vm: str) -> None:
    """B-17."""
    with pytest.raises(InvalidStatus), viewing(server, running_vm, origin="http://evil.example"):
        pass
    with viewing(server, running_vm, origin=f"http://127.0.0.1:{server.port}") as viewer:
        seen(viewer, b"VPCS> ")


def test_a_viewer_that_vanishes_leaves_nothing(server: Server, running_vm: str) -> None:
    def connected(port: int) -> bool:
        """Whether the server has a connection to that port of a client, in whatever state."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        ends = (line.split()[1:3] for line in lines)
        return any(ours.endswith(f":{server.port:04X}") and theirs.endswith(f":{port:04X}") for ours, theirs in ends)

    with viewing(server, running_vm) as viewer:
        seen(viewer, b"VPCS> ")
        port = viewer.socket.getsockname()[1]
        assert connected(port)
        viewer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        viewer.socket.close()
        until(lambda: not connected(port), "the server to let go")


CONFIG = """
auth = "token"
max_frame = 4096
max_viewers = 1
"""


def test_it_needs_the_token_and_keeps_within_the_limits(tmp_path: Path) -> None:
    (tmp_path / "labplane.toml").write_text(CONFIG + f'token_file = "{tmp_path / "token"}"\n')
    with running(tmp_path / "projects", "--config", str(tmp_path / "labplane.toml")) as server:
        token = (tmp_path / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        server.http.headers.update(headers)
        vm = linked(server, server.project())
        start(server, vm)
        assert refused(server, vm)[0] in (401, 403)
        with viewing(server, vm, additional_headers=headers) as viewer:
            seen(viewer, b"VPCS> ")
            with viewing(server, vm, additional_headers=headers) as second:
                assert b"This console has 1 viewers already." in closed(second)[1]
            viewer.send(b"x" * 5000)
            assert closed(viewer)[0] == 1009
        with viewing(server, vm, additional_headers=headers) as viewer:
            seen(viewer, b"VPCS> ")


def test_who_counts_bytes_comes_again_without_losing_or_doubling_one(server: Server, running_vm: str) -> None:
    """M-19."""
    with viewing(server, running_vm, "?from=") as viewer:
        told = json.loads(viewer.recv(timeout=DEADLINE))
        assert told["offset"] == 0
        before = seen(viewer, b"VPCS> ")
    with viewing(server, running_vm) as other:
        seen(other, b"VPCS> ")
        other.send("set pcname ABC\n")
        seen(other, b"ABC> ")
    with viewing(server, running_vm, f"?from={told['run']}:{len(before)}") as viewer:
        assert json.loads(viewer.recv(timeout=DEADLINE)) == {"run": told["run"], "offset": len(before)}
        assert seen(viewer, b"ABC> ").startswith(b"set pcname ABC\r\n")
    for strange in ("nobody:7", f"{told['run']}:999999", "x", f"{told['run']}:-1", "%00:1"):
        with viewing(server, running_vm, f"?from={strange}") as viewer:
            assert json.loads(viewer.recv(timeout=DEADLINE)) == told
            assert seen(viewer, b"ABC> ").startswith(before)
