"""B-15: what of the host's network, capabilities and memory a VPCS has."""

import os
import re
import socket
import sys
from pathlib import Path

import pytest

from expect import nothing, shown
from host import runs
from labplane.emulators.confinement import TCP_SINCE, version
from machines import linked, show, start
from namespaces import needs_namespace, needs_tun, run_apart
from support import Server, Viewer, running

PROMPT = b"VPCS> "
NET_ADMIN = 1 << 12


def capabilities(pid: int) -> set[int]:
    """The capability sets of a process, as numbers."""
    return {
        int(value, 16)
        for value in re.findall(
            r"^Cap(?:Inh|Prm|Eff|Amb):\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
        )
    }


def bounding(pid: int) -> int:
    (value,) = re.findall(r"^CapBnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(value, 16)


@pytest.mark.skipif(version() < TCP_SINCE, reason=f"this kernel's Landlock, version {version()}, knows no TCP")
@pytest.mark.parametrize("command", ["rlogin 127.0.0.1 {}", "rlogin {}", "telnet 127.0.0.1 {}"])
def test_a_console_is_no_way_to_the_tcp_ports_of_the_host(command: str, server: Server, project: str) -> None:
    vm = linked(server, project)
    pid = start(server, vm)
    with socket.create_server(("127.0.0.1", 0)) as service, Viewer(show(server, vm)["console"]) as viewer:
        service.setblocking(False)
        viewer.until(PROMPT)
        viewer.type(command.format(service.getsockname()[1]))
        viewer.until(PROMPT)
        viewer.type(command.format(server.port))
        viewer.until(PROMPT)
        viewer.type("echo still here")
        viewer.until(b"\nstill here")
        with pytest.raises(BlockingIOError):
            service.accept()
    assert runs(pid)
    assert shown(server.http.get(vm))["status"] == "started"


def test_a_vm_that_is_linked_by_udp_has_no_capabilities(server: Server, project: str) -> None:
    pid = start(server, linked(server, project))
    assert capabilities(pid) == {0}
    if os.geteuid() == 0:
        assert bounding(pid) == 0


def test_its_memory_and_its_files_are_limited_from_the_next_start_on(tmp_path: Path) -> None:
    settings = tmp_path / "labplane.toml"
    settings.write_text("max_vm_memory = 1_073_741_824\nmax_vm_file = 1_000_000\n")
    with running(tmp_path / "projects", "--local", "--config", str(settings)) as server:
        vm = linked(server, server.project())
        limits = Path(f"/proc/{start(server, vm)}/limits").read_text()
        assert re.search(r"Max address space +1073741824 +1073741824", limits)
        assert re.search(r"Max file size +1000000 +1000000", limits)
        settings.write_text("max_vm_file = 2_000_000\n")
        nothing(server.http.post("/v1/config/reload"), 201)
        nothing(server.http.post(f"{vm}/stop"))
        limits = Path(f"/proc/{start(server, vm)}/limits").read_text()
        assert re.search(r"Max file size +2000000 +2000000", limits)


@needs_namespace
@needs_tun
def test_a_vm_on_a_tap_has_the_one_capability_that_it_needs(tmp_path: Path) -> None:
    run_apart(__file__, str(tmp_path))


def _on_a_tap(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        project = server.project()
        vm = server.vm(project)
        nio = {"type": "nio_tap", "tap_device": "tap0"}
        shown(server.http.post(f"{vm}/adapters/0/ports/0/nio", json=nio), 201)
        pid = start(server, vm)
        assert capabilities(pid) == {NET_ADMIN}
        assert bounding(pid) == NET_ADMIN
        assert capabilities(start(server, linked(server, project))) == {0}, "and no other VM has it"


if __name__ == "__main__":
    _on_a_tap(Path(sys.argv[1]))
