"""VPCS over HTTP: made, linked, started, shown."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from expect import nothing, shown
from support import PROGRAM, Server, until


def linked(server: Server, project: str, lport: int | None = None, **body: Any) -> str:
    vm = server.vm(project, **body)
    lport = lport or shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"]
    assert server.link(vm, lport, 9).status_code == 201
    return vm


def start(server: Server, vm: str) -> int:
    """Start one more VM; its pid."""
    before = set(server.children())
    nothing(server.http.post(f"{vm}/start", json={}))
    (pid,) = set(server.children()) - before
    return pid


def show(server: Server, vm: str) -> dict[str, Any]:
    found: dict[str, Any] = shown(server.http.get(vm))
    return found


def directory(server: Server, vm: str) -> Path:
    return Path(show(server, vm)["vm_directory"])


def together(server: Server, paths: list[str], method: str = "POST") -> list[int]:
    """Send a request to each path at once; the statuses."""
    with ThreadPoolExecutor(len(paths)) as threads:
        return [reply.status_code for reply in threads.map(partial(server.http.request, method), paths)]


def after_the_attempt(server: Server) -> None:
    """Wait until each VPCS has all of its five threads, the last of which has tried for the relay socket and sleeps."""

    def settled(pid: int) -> bool:
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]  # oldest first; numbers may wrap around
        if len(tasks) < 5:
            return False
        stat = Path(f"/proc/{pid}/task/{tasks[4]}/stat").read_text()
        return stat[stat.rindex(")") + 2] == "S"

    for pid in server.children():
        until(partial(settled, pid), "the five threads of VPCS")


def create(server: Server, project: str, **body: Any) -> dict[str, Any]:
    body = {"name": "PC", "engine": PROGRAM, **body}
    found: dict[str, Any] = shown(server.http.post(f"{project}/vpcs/vms", json=body), 201)
    return found


def vms(server: Server, project: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shown(server.http.get(f"{project}/vpcs/vms"))
    return found


def script_file(server: Server, vm: str) -> Path:
    """Where M-7 says that the script is."""
    project, vm_id = vm.split("/vpcs/vms/")
    return Path(shown(server.http.get(project))["path"]) / "project-files" / "vpcs" / vm_id / "startup.vpc"
