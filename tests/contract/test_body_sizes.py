"""T-12: how long a body may be."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from expect import refusal, shown
from support import Server, running
from wire import Wire

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes bodies of 1 MiB and no more."""
    directory = tmp_path_factory.mktemp("small")
    (directory / "labplane.toml").write_text(f"max_body = {MIB}\n")
    with running(directory / "projects", "--config", str(directory / "labplane.toml")) as server:
        yield server


def test_a_body_of_one_mebibyte_works(server: Server, project: str) -> None:
    """T-12."""
    frame = json.dumps({"name": "big", "startup_script": ""})
    script = "#" * (MIB - len(frame))
    body = json.dumps({"name": "big", "startup_script": script})
    assert len(body) == MIB
    reply = shown(server.http.post(f"{project}/vpcs/vms", content=body), 201)
    assert reply["startup_script"] == script


def test_the_default_limit_is_sixteen_mebibytes(server: Server) -> None:
    """T-12."""
    body = b'"' + b"x" * (16 * MIB - 2) + b'"'
    assert server.http.post("/v1/ports/udp", content=body).status_code == 201
    refusal(server.http.post("/v1/ports/udp", content=body + b" "), 413)


@pytest.mark.parametrize("length", [16 * MIB + 1, 33 * MIB, 2**63, 10**30])
def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(wire: Wire, length: int) -> None:
    """T-12."""
    wire.head("POST", "/v1/ports/udp", f"Content-Length: {length}")
    reply = wire.reply()
    assert reply.status in ((413,) if length < 2**60 else (400, 413))
    if reply.status == 413:
        assert json.loads(reply.body)["status"] == 413


def test_the_limit_holds_for_chunked_bodies(wire: Wire) -> None:
    """T-12, T-10: the refusal comes while the client still sends, and the connection is usable when it has sent all."""
    wire.head("POST", "/v1/ports/udp", "Transfer-Encoding: chunked")
    for _ in range(17):
        wire.chunk(b" " * MIB)
    reply = wire.reply()
    assert reply.status == 413
    assert json.loads(reply.body)["status"] == 413
    wire.chunk(b" " * MIB)
    wire.chunk(b"")
    assert wire.call("GET", "/v1/version").status == 200


def test_an_endless_upload_does_not_fill_the_memory(small: Server) -> None:
    """T-12: what comes after the refusal is thrown away, or the connection is closed."""
    peak = Path(f"/proc/{small.process.pid}/status")

    def high_water() -> int:
        return int(next(line for line in peak.read_text().splitlines() if line.startswith("VmHWM")).split()[1])

    before = high_water()
    with Wire(small.port) as wire:
        wire.head("POST", "/v1/ports/udp", "Transfer-Encoding: chunked")
        try:
            for _ in range(200):
                wire.chunk(b" " * MIB)
        except (BrokenPipeError, ConnectionResetError):
            pass
        else:
            assert wire.reply().status == 413
    assert high_water() - before < 32 * 1024
    assert small.http.get("/v1/version").status_code == 200


def test_the_limit_can_be_configured(small: Server) -> None:
    """T-12."""
    body = b'"' + b"x" * (MIB - 2) + b'"'
    assert small.http.post("/v1/ports/udp", content=body).status_code == 201
    refusal(small.http.post("/v1/ports/udp", content=body + b" "), 413)
    refusal(small.http.post("/v1/nowhere", content=body + b" "), 404)


def test_no_limit_above_32_mebibytes_can_be_configured(tmp_path: Path) -> None:
    """T-12."""
    (tmp_path / "labplane.toml").write_text(f"max_body = {32 * MIB + 1}\n")
    with (
        pytest.raises(AssertionError, match="max_body"),
        running(tmp_path / "projects", "--config", str(tmp_path / "labplane.toml")),
    ):
        pass
