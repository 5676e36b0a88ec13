"""S-1, S-2: which VPCS is run, and what becomes of one that cannot be used."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from expect import nothing, refusal, shown
from machines import linked, show
from support import Server, running, until


def fake(path: Path, script: str, mode: int = 0o755) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)


VERSION = 'echo "Welcome to Virtual PC Simulator, version %s"'


def real(path: Path, version: str) -> None:
    """The real VPCS, which says that it is of that version; as long as the true one."""
    true = shutil.which("vpcs")
    assert true is not None, "vpcs is not on the PATH"
    program = Path(true).read_bytes()
    assert program.count(b"0.5b2\0") == 1
    path.write_bytes(program.replace(b"0.5b2", version.encode()))
    path.chmod(0o755)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, Path]]:
    """A server whose vpcs is what the test writes to a path; a linked VM of it; the path."""
    root = tmp_path_factory.mktemp("emulator")
    program = root / "my-vpcs"
    (root / "labplane.toml").write_text(f'[plugins.vpcs]\nprogram = "{program}"\n')
    with running(root / "projects", "--config", str(root / "labplane.toml")) as server:
        yield server, linked(server, server.project()), program


@pytest.mark.parametrize(
    ("script", "mode"),
    [
        (None, 0),
        (VERSION % "0.5b2", 0o644),
        (VERSION % "0.5b0", 0o755),
        (VERSION % "0.4b2", 0o755),
        (VERSION % "0.4.9", 0o755),
        ("echo usage", 0o755),
        (VERSION % "unknown", 0o755),
        ("exit 1", 0o755),
        ("kill -9 $$", 0o755),
    ],
    ids=[
        "missing",
        "not executable",
        "too old beta",
        "too old 0.4 beta",
        "too old 0.4",
        "no version",
        "odd version",
        "fails",
        "dies",
    ],
)
def test_a_vpcs_that_cannot_be_used_is_a_conflict(
    emulator: tuple[Server, str, Path], script: str | None, mode: int
) -> None:
    """S-1, O-11: and nothing is left."""
    server, vm, program = emulator
    program.unlink(missing_ok=True)
    if script is not None:
        fake(program, script, mode)
    for action in ("start", "reload"):
        refusal(server.http.post(f"{vm}/{action}"), 409)
        assert show(server, vm)["status"] == "stopped"
        assert server.children() == []


def test_a_vpcs_that_ends_at_once_is_a_conflict(emulator: tuple[Server, str, Path]) -> None:
    """S-3, Q-2, B-10: with success at that, for that is what an option means that it does not know."""
    server, vm, program = emulator
    real(program, "0.8b1")
    refusal(server.http.post(f"{vm}/start"), 409)
    assert show(server, vm)["status"] == "stopped"
    assert server.children() == []


def test_a_vpcs_that_does_not_answer_is_given_up(emulator: tuple[Server, str, Path]) -> None:
    """S-1, B-21: without holding up the server meanwhile."""
    server, vm, program = emulator
    fake(program, "exec sleep 60")
    thread = threading.Thread(target=lambda: refusal(server.http.post(f"{vm}/start"), 409))
    thread.start()
    until(server.children, "the program that does not answer")
    shown(server.http.get("/v1/version"))
    assert thread.is_alive(), "the server waited for the program"
    thread.join()
    assert server.children() == []


@pytest.mark.parametrize(
    ("version", "without_relay"),
    [("0.5b1", False), ("0.5b2", False), ("0.6.1", False), ("0.8b1", True), ("0.8.3", True)],
)
def test_what_a_vpcs_is_told_depends_on_its_version(
    emulator: tuple[Server, str, Path], version: str, without_relay: bool
) -> None:
    """S-1, Q-1, Q-2, B-12, B-21, O-11: 0.5b1 will do, 0.8 has -R, and an exchanged program is noticed."""
    server, vm, program = emulator
    real(program, version)
    reply = server.http.post(f"{vm}/start")
    assert reply.status_code == (409 if without_relay else 204)
    assert ("-R" in show(server, vm)["command_line"].split()) == without_relay
    nothing(server.http.post(f"{vm}/stop"))


def test_the_version_is_asked_once(emulator: tuple[Server, str, Path]) -> None:
    """B-21: not at each start, as long as the program stays what it is."""
    server, vm, program = emulator
    asked = program.parent / "asked"
    fake(program, f"echo x >> {asked}; {VERSION % '0.5b2'}")
    for _ in range(3):
        server.http.post(f"{vm}/start")
        server.http.post(f"{vm}/stop")
    assert asked.read_text() == "x\n"
    fake(program, f"echo y >> {asked}; {VERSION % '0.5b2'}; # exchanged")
    server.http.post(f"{vm}/start")
    assert asked.read_text() == "x\ny\n"
    nothing(server.http.post(f"{vm}/stop"))
