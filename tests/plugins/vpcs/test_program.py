"""Finding vpcs and its version, with the real program and with scripts that pretend (S-1, Q-1, Q-2, B-21)."""

import asyncio
import os
import resource
from pathlib import Path

import pytest
from packaging.version import Version

from host import runs
from labplane import Unavailable
from labplane_vpcs import program
from labplane_vpcs.program import Programs
from support import until


def pretend(path: Path, body: str) -> str:
    """A shell script at `path`; returns its name for `Programs.find`."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def version_of(banner: str, tmp_path: Path) -> program.Program:
    return asyncio.run(Programs().find(pretend(tmp_path / "vpcs", f"printf '%s\\r\\n' '{banner}'")))


def test_the_real_program_is_found_on_the_path() -> None:
    found = asyncio.run(Programs().find("vpcs"))
    assert found.path.is_absolute()
    assert found.version >= program.OLDEST


@pytest.mark.parametrize(
    ("banner", "version", "relay_switch", "runs_commands"),
    [
        ("Welcome to Virtual PC Simulator, version 0.5b1", "0.5b1", False, True),
        ("Welcome to Virtual PC Simulator, version 0.5b2", "0.5b2", False, True),
        ("Welcome to Virtual PC Simulator, version 0.6", "0.6", False, True),
        ("Welcome to Virtual PC Simulator, version 0.6.2", "0.6.2", False, True),
        ("Welcome to Virtual PC Simulator, version 0.8beta1", "0.8b1", True, True),
        ("Welcome to Virtual PC Simulator, version 0.8.1", "0.8.1", True, True),
        ("Welcome to Virtual PC Simulator, version 0.8.2", "0.8.2", True, False),
        ("Welcome to Virtual PC Simulator, version 1.0.", "1.0", True, False),
    ],
)
def test_what_a_version_can_do(
    tmp_path: Path, banner: str, version: str, relay_switch: bool, runs_commands: bool
) -> None:
    found = version_of(banner, tmp_path)
    assert found.version == Version(version)
    assert found.has_relay_switch is relay_switch
    assert found.runs_commands is runs_commands


@pytest.mark.parametrize("banner", ["Virtual PC Simulator, version 0.4b2", "version 0.5b0", "version 0.3"])
def test_an_old_version_is_refused_with_advice(tmp_path: Path, banner: str) -> None:
    with pytest.raises(Unavailable, match=r"needs 0\.5b1 or later.*apt-get install vpcs"):
        version_of(banner, tmp_path)


@pytest.mark.parametrize("banner", ["hello", "version x", "version 1..2", ""])
def test_a_program_of_unknown_version_is_refused(tmp_path: Path, banner: str) -> None:
    with pytest.raises(Unavailable, match="does not say which version"):
        version_of(banner, tmp_path)


def test_a_missing_program_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="apt-get install vpcs"):
        asyncio.run(Programs().find(str(tmp_path / "none")))
    with pytest.raises(Unavailable, match="is not on the server's PATH"):
        asyncio.run(Programs().find("no-such-vpcs"))


def test_a_file_that_is_not_executable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vpcs").write_text("x")
    with pytest.raises(Unavailable, match="is not executable"):
        asyncio.run(Programs().find(str(tmp_path / "vpcs")))


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vpcs").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "vpcs").chmod(0o755)
    with pytest.raises(Unavailable, match="cannot be executed"):
        asyncio.run(Programs().find(str(tmp_path / "vpcs")))


def test_a_program_that_does_not_answer_is_ended_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "PATIENCE", 0.2)
    name = pretend(tmp_path / "vpcs", f"echo $$ > {tmp_path}/pid; exec sleep 1000")
    with pytest.raises(Unavailable, match="did not answer"):
        asyncio.run(Programs().find(name))
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


@pytest.mark.parametrize("first", ["version 0.6", "nothing"])
def test_of_a_program_that_prints_without_end_only_the_beginning_is_read(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bounded memory, and long before its time is up; it is ended either way."""
    monkeypatch.setattr(program, "PATIENCE", 60.0)
    name = pretend(tmp_path / "vpcs", f"echo $$ > {tmp_path}/pid; echo {first}; exec cat /dev/zero")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if first == "nothing":
        with pytest.raises(Unavailable, match="does not say which version"):
            asyncio.run(Programs().find(name))
    else:
        assert asyncio.run(Programs().find(name)).version == Version("0.6")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024, "KiB"
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


@pytest.mark.parametrize("last", ["exec sleep 1000", "exit 0", "while :; do echo x; sleep 0.01; done"])
def test_what_it_started_ends_with_it(last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a child that keeps its output open, or a program that answers drop by drop."""
    monkeypatch.setattr(program, "PATIENCE", 0.3)
    name = pretend(tmp_path / "vpcs", f"sleep 1000 & echo $! > {tmp_path}/pid; {last}")
    with pytest.raises(Unavailable, match=r"did not answer within 0\.3 seconds"):
        asyncio.run(Programs().find(name))
    child = int((tmp_path / "pid").read_text())
    until(lambda: not runs(child), "the end of what it started")


def test_it_is_asked_in_a_server_with_many_descriptors(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard) if hard >= 0 else 4096, hard))
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        assert version_of("version 0.6", tmp_path).version == Version("0.6")
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_version_is_asked_once_for_each_file(tmp_path: Path) -> None:
    name = pretend(tmp_path / "vpcs", f"echo asked >> {tmp_path}/count; echo version 0.6")

    async def ask_often() -> None:
        programs = Programs()
        await asyncio.gather(*(programs.find(name) for _ in range(10)))
        await programs.find(name)
        assert (tmp_path / "count").read_text() == "asked\n"
        pretend(tmp_path / "vpcs", "echo this is now version 0.8.2")
        assert (await programs.find(name)).version == Version("0.8.2")

    asyncio.run(ask_often())
