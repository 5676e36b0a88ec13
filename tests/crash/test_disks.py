"""A disk that is full, read-only or slow: what was acknowledged stays, machines run on, and the server recovers."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from labplane_keeper import visiting
from lives import Lives
from machines import linked, show
from small_disk import SmallDisk, small_disk
from support import Server, until
from tracing import TRACEABLE, traced


@contextmanager
def full(disk: SmallDisk, _: Lives) -> Iterator[None]:
    disk.fill()
    try:
        yield
    finally:
        disk.make_room()


@contextmanager
def failing(disk: SmallDisk, lives: Lives) -> Iterator[None]:
    """No write into the journal succeeds, although there is room."""
    names = [disk.place / "projects" / ".labplane" / f"state.db{suffix}" for suffix in ("", "-wal")]
    with traced(lives.server.process.pid, "pwrite64:error=EIO", paths=names):
        yield


Trouble = Callable[[SmallDisk, Lives], AbstractContextManager[None]]
TROUBLES: Mapping[str, tuple[Trouble, int, str]] = {
    "full": (full, 507, "no space left on the disk"),
    "broken": (failing, 409, "The disk failed"),
}


@contextmanager
def lab(tmp_path: Path) -> Iterator[tuple[SmallDisk, Lives, str, list[str]]]:
    """A disk of 2 MiB, a server on it, and its project with two linked VMs."""
    with (
        small_disk(tmp_path / "disk", "size=2m,nr_inodes=400,mode=700") as disk,
        Lives.beginning(disk.place / "projects", within=(*disk.within, *TRACEABLE)) as lives,
    ):
        project = lives.server.project(name="lab")
        yield disk, lives, project, [linked(lives.server, project) for _ in range(2)]


@pytest.mark.parametrize("name", TROUBLES)
def test_a_disk_that_takes_nothing_harms_nothing_and_is_told(name: str, tmp_path: Path) -> None:
    trouble, status, words = TROUBLES[name]
    with lab(tmp_path) as (disk, lives, project, vms):
        http = lives.server.http
        nothing(http.post(f"{vms[0]}/start"))
        before = [show(lives.server, vm) for vm in vms]
        files = sorted(disk.seen.rglob("*/vpcs/*"))
        with trouble(disk, lives):
            for reply in (
                http.post(f"{project}/vpcs/vms", json={"name": "new"}),
                http.put(vms[1], json={"name": "other"}),
                http.post("/v1/projects", json={}),
                http.delete(f"{vms[1]}/adapters/0/ports/0/nio"),
                http.delete(vms[1]),
                http.post(f"{project}/ports/udp"),
            ):
                assert words in refusal(reply, status)
            assert [show(lives.server, vm) for vm in vms] == before
            assert sorted(disk.seen.rglob("*/vpcs/*")) == files
            nothing(http.post(f"{vms[0]}/stop"))
            assert show(lives.server, vms[0])["status"] == "stopped"
        recovers(lives.server, project)


def test_a_server_that_is_killed_starts_on_a_full_disk_and_has_all(tmp_path: Path) -> None:
    with lab(tmp_path) as (disk, lives, project, vms):
        nothing(lives.server.http.post(f"{vms[0]}/start"))
        before = [show(lives.server, vm) for vm in vms]
        with full(disk, lives):
            lives.kill()
            lives.again()
            assert [show(lives.server, vm) for vm in vms] == before
            assert any("WARNING" in line or "ERROR" in line for line in lives.server.log.splitlines())
            more = 0
            while (reply := lives.server.http.post(f"{project}/vpcs/vms", json={"name": "more"})).status_code == 201:
                more += 1  # there was room left in the journal
            assert "no space left" in refusal(reply, 507)
            before += [{"name": "more"}] * more
        has_all(lives, project, before)


def test_a_server_that_is_killed_starts_on_a_read_only_disk_and_has_all(tmp_path: Path) -> None:
    with lab(tmp_path) as (disk, lives, project, vms):
        before = [show(lives.server, vm) for vm in vms]
        lives.kill()
        visiting.end_all(disk.seen / "projects" / ".labplane")
        disk.remount("ro")
        lives.again()
        try:
            assert [show(lives.server, vm) for vm in vms] == before
            assert any("WARNING" in line or "ERROR" in line for line in lives.server.log.splitlines())
            assert "read-only" in refusal(lives.server.http.post(f"{project}/vpcs/vms", json={"name": "new"}), 409)
        finally:
            disk.remount("rw")
        has_all(lives, project, before)


def has_all(lives: Lives, project: str, before: list[dict[str, Any]]) -> None:
    """The server recovers, is killed once more, and has these VMs and one that is new."""
    recovers(lives.server, project)
    lives.kill()
    lives.again()
    names = [vm["name"] for vm in shown(lives.server.http.get(f"{project}/vpcs/vms"))]
    assert names == [*(vm["name"] for vm in before), "new"]


def recovers(server: Server, project: str) -> None:
    """Wait until a VM can be made."""
    until(
        lambda: server.http.post(f"{project}/vpcs/vms", json={"name": "new"}).status_code == 201,
        "the server to recover",
    )


HANGS = 3.0
AT_LEAST = 6  # requests in that time, of which a server that waits for its disk answers one or two


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_nobody_who_writes_nothing_waits_for_a_disk_that_hangs(durability: str, tmp_path: Path) -> None:
    """Each fsync takes seconds; requests are answered meanwhile, in mode "normal" even those that write."""
    config = tmp_path / "labplane.toml"
    config.write_text(f'durability = "{durability}"\n')
    delay = f"delay_enter={int(HANGS * 1e6)}"
    with Lives.beginning(tmp_path / "projects", "--config", str(config), within=TRACEABLE) as lives:
        http = lives.server.http
        project = lives.server.project()
        log = tmp_path / "strace"
        over = threading.Event()

        def write() -> None:
            while not over.is_set():
                http.post(f"{project}/vpcs/vms", json={"name": "PC"}, timeout=10 * HANGS)

        writer = threading.Thread(target=write)
        with traced(lives.server.process.pid, f"fdatasync:{delay}", f"fsync:{delay}", log=log):
            writer.start()
            try:
                until(lambda: "sync(" in log.read_text(), "an fsync that hangs")
                answered, end = 0, time.monotonic() + HANGS
                while time.monotonic() < end:
                    shown(http.get("/v1/version"))
                    answered += 1
            finally:
                over.set()
        writer.join()
        assert answered >= AT_LEAST
