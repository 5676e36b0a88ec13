"""Requests of all kinds at a live server, whole and broken: no 5xx, no hang, no traceback, and nothing leaks."""

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from barrage import Visit, visits
from support import Server, free_range, running, until
from wire import Reply, Wire

TIMES = int(os.environ.get("LABPLANE_FUZZ", 0))  # as many, and other ones each time; `./run fuzz` sets it
HOW = settings(
    max_examples=120 * max(TIMES, 1),
    derandomize=not TIMES,
    database=None,
    phases=[Phase.generate],  # what has been done to the server before cannot be done again
    suppress_health_check=list(HealthCheck),
)
PORTS = 40
AGAIN_NEW = 40  # after so many examples the server has no projects again

CONFIG = """
# A port that somebody was given and never used shall come back while the test waits.
unclaimed_udp_seconds = 1

# Here it costs nothing to start a VPCS.
[plugins.vpcs]
program = "/bin/false"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "labplane.toml").write_text(CONFIG)
    udp = free_range(PORTS, socket.SOCK_DGRAM)
    with running(
        tmp_path / "projects", "--config", str(tmp_path / "labplane.toml"), consoles=free_range(PORTS), udp=udp
    ) as server:
        yield server


def test_whatever_comes_is_answered_and_leaves_nothing_behind(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = f"127.0.0.1:{server.port}"
    document = server.http.get("/v1/openapi.json").json()
    all_ports_are_free(server)
    files = descriptors(server)
    sent = examples = 0

    @HOW
    @given(st.lists(visits(document, authority), min_size=1, max_size=4))
    def barrage(at_once: list[Visit]) -> None:
        nonlocal sent, examples
        examples += 1
        if examples % AGAIN_NEW == 0:
            close_all(server)
        ids = live(server)
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(server.port)) for _ in at_once]
            for wire, visit in zip(wires, at_once, strict=True):
                for piece in visit.pieces(authority, ids):
                    if not took(wire, piece):
                        break
                end(wire, visit)
            for wire, visit in zip(wires, at_once, strict=True):
                if visit.ending == "read":
                    read(wire, visit)
                elif visit.ending == "no more":
                    looks_fine(rest(wire))
        assert server.http.get("/v1/version").status_code == 200
        sent += sum(visit.count for visit in at_once)

    barrage()
    all_ports_are_free(server)
    assert server.children() == []
    assert until(lambda: descriptors(server) <= files, "the descriptors that were open before")
    assert "Traceback" not in server.log, server.log.partition("Traceback")[2][:8000]
    assert sent > HOW.max_examples
    if TIMES:
        with capsys.disabled():
            print(f"{sent} requests on bare connections")


def took(wire: Wire, piece: bytes) -> bool:
    """Send it; false when the server has hung up."""
    try:
        wire.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def end(wire: Wire, visit: Visit) -> None:
    if visit.ending == "hang up":
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.socket.close()
    elif visit.ending == "no more":
        with suppress(OSError):  # the server may have hung up
            wire.socket.shutdown(socket.SHUT_WR)


def read(wire: Wire, visit: Visit) -> None:
    """Every request has its reply, unless one before said that it is the last."""
    for request in visit.requests:
        reply = wire.reply(request.method)
        is_fine(reply, request.method == "HEAD")
        if reply.headers.get("connection") == "close":
            assert rest(wire) == b""
            return


def is_fine(reply: Reply, without_body: bool = False) -> None:
    assert reply.status < 500, reply
    assert "x-injected" not in reply.headers
    looks_fine(reply.body)
    if reply.status >= 400 and not without_body:
        error = json.loads(reply.body)
        assert error["status"] == reply.status, reply
        assert error["message"], reply


def looks_fine(received: bytes) -> None:
    assert b"HTTP/1.1 5" not in received, received
    assert b"Traceback" not in received, received
    assert b'File "' not in received, received


def rest(wire: Wire) -> bytes:
    """All that comes until the server hangs up, which it must; with a reset when it was sent more after that."""
    received = b""
    with suppress(ConnectionResetError):
        while data := wire.more():
            received += data
    return received


def live(server: Server) -> Mapping[str, str]:
    """Ids of a VM that there is, made if need be; a port that may be used."""
    projects = server.http.get("/v1/projects").json() or [server.http.post("/v1/projects").json()]
    ids = {"project_id": projects[-1]["project_id"], "adapter": "0", "port": "0", "udp_port": "9"}
    vms = f"/v1/projects/{ids['project_id']}/vpcs/vms"
    there = server.http.get(vms).json() or [server.http.post(vms, json={"name": "PC"}).json()]
    if "vm_id" in there[0]:
        ids["vm_id"] = there[0]["vm_id"]
    port = server.http.post(f"/v1/projects/{ids['project_id']}/ports/udp").json()
    return {**ids, "udp_port": str(port.get("udp_port", 9))}


def close_all(server: Server) -> None:
    for project in server.http.get("/v1/projects").json():
        assert server.http.delete(f"/v1/projects/{project['project_id']}").status_code in (204, 404)


def all_ports_are_free(server: Server) -> None:
    """Every port of both ranges can be had once there are no projects."""
    close_all(server)
    project = server.project()
    for _ in range(PORTS):
        server.vm(project)
        until(lambda: server.http.post(f"{project}/ports/udp").status_code == 201, "a UDP port")
    assert server.http.post(f"{project}/ports/udp").status_code == 409
    close_all(server)


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))
