"""E-2, section 5: a disk that is full, read-only or failing costs nothing acknowledged, and the server starts on it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from machines import linked, show, vms
from projects import create
from support import Server, running, until

SLEEP = 'mount -t tmpfs -o "$0" tmpfs "$1" && echo mounted && exec sleep 1000'


class Disk:
    """A small disk in a mount namespace of its own, which outlives the servers that work on it.

    projects: the directory of projects on it, as these see it.
    """

    def __init__(self, holder: "subprocess.Popen[bytes]", path: Path) -> None:
        self._holder = holder
        self._path = path
        self.projects = path / "projects"
        self._ballast = Path(f"/proc/{holder.pid}/root{path}/ballast")

    @property
    def within(self) -> list[str]:
        """The command under which a server sees the disk."""
        return ["nsenter", "--mount", f"--target={self._holder.pid}"]

    def serving(self, *options: str) -> Any:
        return running(self.projects, *options, within=self.within)

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(b"x" * 4096)
        assert os.statvfs(self._ballast).f_bavail == 0

    def make_room(self) -> None:
        self._ballast.unlink()

    def remount(self, how: str) -> None:
        subprocess.run([*self.within, "mount", "-o", f"remount,{how}", str(self._path)], check=True)


@contextmanager
def small(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    options = "size=1m,nr_inodes=500,mode=700"
    command = ["unshare", "--mount", "sh", "-c", SLEEP, options, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"mounted\n":
                if os.environ.get("CI"):
                    pytest.fail("no mount namespace can be made here")
                pytest.skip("no mount namespace can be made here")
            yield Disk(holder, path)
        finally:
            holder.kill()


def until_full(server: Server, project: str) -> str:
    """Create VMs until the disk is full; what the refusal says. A few may still fit into the database's log."""
    for number in range(500):
        reply = server.http.post(f"{project}/vpcs/vms", json={"name": f"{number} {'x' * 200}"})
        if reply.status_code != 201:
            return refusal(reply, 507)
    raise AssertionError("the disk does not get full")


def test_a_full_disk_refuses_changes_keeps_what_was_there_and_recovers(tmp_path: Path) -> None:
    with small(tmp_path) as disk, disk.serving() as server:
        path = f"/v1/projects/{create(server)['project_id']}"
        vm = linked(server, path)
        nothing(server.http.post(f"{vm}/start"))
        disk.fill()
        assert "no space left" in until_full(server, path)
        before = vms(server, path)
        for refused in (
            server.http.put(vm, json={"name": "x" * 255}),
            server.http.delete(f"{vm}/adapters/0/ports/0/nio"),
            server.http.delete(vm),
            server.http.post(f"{path}/ports/udp"),
            server.http.post(f"{path}/close"),
            server.http.post("/v1/projects", json={"name": "x" * 255}),
        ):
            assert refused.status_code == 507, refused.text
        assert vms(server, path) == before
        assert len(shown(server.http.get("/v1/projects"))) == 1
        nothing(server.http.post(f"{vm}/stop"))
        assert show(server, vm)["status"] == "stopped"
        disk.make_room()
        shown(server.http.put(vm, json={"name": "there is room again"}))
        nothing(server.http.delete(vm))
        assert sum(plugin["faults"] for plugin in server.http.get("/v1/plugins").json()) == 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
def test_the_server_starts_on_a_full_disk_and_recovers_by_itself(tmp_path: Path, end: signal.Signals) -> None:
    """After SIGTERM the files are gone which the database needs to be open, and there is no room for them."""
    with small(tmp_path) as disk:
        with disk.serving() as first:
            path = f"/v1/projects/{create(first)['project_id']}"
            first.vm(path)
            if end == signal.SIGKILL:
                disk.fill()
                until_full(first, path)
            before = vms(first, path)
            first.stop(end)
        if end == signal.SIGTERM:
            disk.fill()
        with disk.serving() as second:
            assert vms(second, path) == before
            assert "no space left" in until_full(second, path)
            assert "cannot be written, so nothing can be created, changed or deleted" in second.log
            kept = vms(second, path)
            disk.make_room()
            until(lambda: "the state of the lab can be written again" in second.log, "the recovery")
            nothing(second.http.delete(f"{path}/vpcs/vms/{kept[0]['vm_id']}"))
            second.stop(signal.SIGKILL)
        with disk.serving() as third:
            assert vms(third, path) == kept[1:]


def test_the_server_starts_on_a_read_only_disk_and_recovers_by_itself(tmp_path: Path) -> None:
    with small(tmp_path) as disk:
        with disk.serving() as first:
            path = f"/v1/projects/{create(first, name='mine')['project_id']}"
            vm = linked(first, path)
            before = [shown(first.http.get("/v1/projects")), vms(first, path)]
        disk.remount("ro")
        with disk.serving() as second:
            assert "mounted read-only" in second.log
            assert [shown(second.http.get("/v1/projects")), vms(second, path)] == before
            for refused in (
                second.http.put(vm, json={"name": "x"}),
                second.http.delete(vm),
                second.http.post("/v1/projects", json={}),
                second.http.delete(path),
            ):
                assert "mounted read-only" in refusal(refused, 409)
            nothing(second.http.post(f"{vm}/stop"))
            assert [shown(second.http.get("/v1/projects")), vms(second, path)] == before
            disk.remount("rw")
            until(lambda: "the state of the lab can be written again" in second.log, "the recovery")
            shown(second.http.put(vm, json={"name": "x"}))
            second.stop(signal.SIGKILL)
        with disk.serving() as third:
            assert [vm["name"] for vm in vms(third, path)] == ["x"]


def test_a_server_starts_on_a_read_only_disk_that_has_never_had_one(tmp_path: Path) -> None:
    with small(tmp_path) as disk:
        subprocess.run([*disk.within, "mkdir", str(disk.projects)], check=True)
        disk.remount("ro")
        with disk.serving() as server:
            assert shown(server.http.get("/v1/projects")) == []
            refusal(server.http.post("/v1/projects", json={}), 409)
            disk.remount("rw")
            until(lambda: "the state of the lab can be written again" in server.log, "the recovery")
            server.vm(server.project())


@contextmanager
def failing(server: Server, calls: str) -> Iterator[None]:
    """The disk fails: these system calls of the server on its database's log are EIO."""
    if shutil.which("strace") is None:
        if os.environ.get("CI"):
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")
    log = server.projects.resolve() / ".labplane" / "state.db-wal"
    command = ["strace", "-f", "-p", str(server.process.pid), "-P", str(log), "-e", f"inject={calls}:error=EIO"]
    with subprocess.Popen([*command, "-e", f"trace={calls}"], stderr=subprocess.PIPE) as strace:
        assert strace.stderr is not None
        first = strace.stderr.readline()
        try:
            if b"attached" not in first:
                pytest.skip(f"strace cannot attach: {first.decode()}")
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.stderr.read()


def test_a_disk_that_fails_refuses_what_it_fails_at_and_nothing_is_lost(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        path = server.project()
        vm = linked(server, path)
        nothing(server.http.post(f"{vm}/start"))
        before = vms(server, path)
        with failing(server, "pwrite64"):
            for refused in (
                server.http.post(f"{path}/vpcs/vms", json={"name": "x"}),
                server.http.put(vm, json={"name": "x"}),
                server.http.delete(vm),
                server.http.post("/v1/projects", json={}),
            ):
                assert "The disk failed" in refusal(refused, 409)
            assert vms(server, path) == before
            nothing(server.http.post(f"{vm}/stop"))
        until(lambda: "the state of the lab can be written again" in server.log, "the recovery")
        shown(server.http.put(vm, json={"name": "y"}))
        server.stop(signal.SIGKILL)
        with running(server.projects) as second:
            assert [(vm["name"], vm["status"]) for vm in vms(second, path)] == [("y", "stopped")]
