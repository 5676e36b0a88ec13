"""E-2: when the system refuses something to the server, as a full disk does, the reply says so and blames nobody."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from expect import nothing, refusal, shown
from machines import linked, start
from support import Server, running

OPTIONS = "size=256k,nr_inodes=200,mode=700"


@contextmanager
def small_disk(tmp_path: Path) -> Iterator[Server]:
    """A server whose projects are on a disk of 256 KiB, in a mount namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o {OPTIONS} tmpfs "$0" && exec "$@"'
    for way in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if (
            subprocess.run([*way, "sh", "-c", mount, str(disk), "true"], capture_output=True, check=False).returncode
            == 0
        ):
            break
    else:
        if os.environ.get("CI"):
            pytest.fail("no mount namespace can be made here")
        pytest.skip("no mount namespace can be made here")
    with running(disk / "projects", within=[*way, "sh", "-c", mount, str(disk)]) as server:
        yield server


def view(server: Server, path: str) -> Path:
    """A path as the server sees it, in its namespace."""
    return Path(f"/proc/{server.process.pid}/root{path}")


def fill(server: Server) -> Path:
    """Take all space of the server's disk; the file that has it."""
    file = view(server, str(server.projects)) / "ballast"
    with file.open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(b"x" * 4096)
    assert os.statvfs(file).f_bavail == 0
    return file


def faults(server: Server) -> int:
    return sum(plugin["faults"] for plugin in server.http.get("/v1/plugins").json())


def test_a_full_disk_is_507_names_the_place_and_changes_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path) as server:
        vm = linked(server, server.project())
        shown(server.http.put(vm, json={"startup_script": "set pcname old\n"}))
        before = server.http.get(vm).json()
        ballast = fill(server)
        for body in ({"startup_script": "x" * 20_000}, {"name": "new", "startup_script": "x" * 20_000}):
            message = refusal(server.http.put(vm, json=body), 507)
            assert "no space left" in message
            assert server.http.get(vm).json() == before
        start(server, vm)  # what needs no space still works
        nothing(server.http.post(f"{vm}/stop"))
        assert faults(server) == 0
        ballast.unlink()
        shown(server.http.put(vm, json={"startup_script": "x" * 20_000}))


def test_a_creation_or_upload_on_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with small_disk(tmp_path) as server:
        project = server.project()
        ballast = fill(server)
        body = {"name": "PC", "startup_script": "x" * 20_000}
        refusal(server.http.post(f"{project}/vpcs/vms", json=body), 507)
        assert server.http.get(f"{project}/vpcs/vms").json() == []
        refusal(server.http.post(f"{project}/files/big.bin", content=b"x" * 20_000), 507)
        assert server.http.get(f"{project}/files").json() == []
        assert faults(server) == 0
        ballast.unlink()
        assert shown(server.http.post(f"{project}/vpcs/vms", json=body), 201)["console"] == server.consoles[0]
        nothing(server.http.post(f"{project}/close"))


def test_a_disk_without_room_for_another_file_is_507_too(tmp_path: Path) -> None:
    """ENOSPC of a file system that has run out of inodes."""
    with small_disk(tmp_path) as server:
        folder = view(server, str(server.projects))
        made: list[Path] = []
        with suppress(OSError):
            while True:
                (folder / f"file{len(made)}").touch()
                made.append(folder / f"file{len(made)}")
        assert os.statvfs(folder).f_favail == 0
        refusal(server.http.post("/v1/projects", json={}), 507)
        assert server.http.get("/v1/projects").json() == []
        for file in made:
            file.unlink()
        server.project()


def test_a_read_only_disk_is_409_and_running_vms_go_on(tmp_path: Path) -> None:
    with small_disk(tmp_path) as server:
        project = server.project()
        vm = linked(server, project)
        start(server, vm)
        disk = str(server.projects.parent)
        inside = ["nsenter", "--mount", f"--target={server.process.pid}"]
        for command in (["mount", "--bind", disk, disk], ["mount", "-o", "remount,bind,ro", disk]):
            subprocess.run([*inside, *command], check=True)
        message = refusal(server.http.put(vm, json={"startup_script": "x"}), 409)
        assert "read-only" in message
        assert server.http.get(vm).json()["status"] == "started"
        nothing(server.http.post(f"{vm}/stop"))
        assert faults(server) == 0


def test_too_many_open_files_is_503(tmp_path: Path) -> None:
    limit = 'ulimit -n 80 && exec "$@"'
    with running(tmp_path / "projects", within=["sh", "-c", limit, "sh"]) as server:
        project = server.project()
        started = []
        for _ in range(80):
            replies = [server.http.post(f"{project}/vpcs/vms", json={"name": "PC"})]
            if replies[-1].status_code == 201:
                vm = f"{project}/vpcs/vms/{replies[-1].json()['vm_id']}"
                replies.append(server.http.post(f"{project}/ports/udp", json={}))
            if replies[-1].status_code == 201 and len(replies) == 2:
                replies.append(server.link(vm, replies[-1].json()["udp_port"], 9))
            if replies[-1].status_code == 201 and len(replies) == 3:
                replies.append(server.http.post(f"{vm}/start"))
            if replies[-1].status_code != 204:
                break
            started.append(vm)
        assert replies[-1].status_code == 503, replies[-1].text
        assert "files open" in replies[-1].json()["message"]
        assert len(started) > 10
        for vm in started:
            assert server.http.get(vm).json()["status"] == "started"
        for vm in started[:5]:
            nothing(server.http.delete(vm))
        start(server, linked(server, project))  # as soon as there is room
        assert faults(server) == 0
