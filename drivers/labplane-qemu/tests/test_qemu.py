"""QEMU machines over HTTP, as users have them: guests between real PCs, hot links, captures, screens, disks."""

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters import wire
from guests import images
from support import Server, Viewer, running, until

UP_WITHIN = 120.0
PROMPT = b"guest# "
LINUX = {
    "kernel_image": "vmlinuz",
    "initrd": "initrd",
    "ram": 128,
    "adapters": 3,
    "adapter_type": "virtio-net-pci",
    "process_priority": "normal",
}
LINE = "console=ttyS0 quiet mitigations=off nokaslr eth0=10.0.0.1/24 eth1=10.0.1.1/24 eth2=10.0.2.1/24"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings of servers whose images are the guests'."""
    folder = tmp_path_factory.mktemp("images")
    config = folder / "labplane.toml"
    config.write_text(f"[plugins.images]\ndir = '{images(folder)}'\n")
    return config


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, settings: Path) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("qemu") / "projects", "--strict", "--config", str(settings)) as server:
        yield server


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    """A project of which nothing is left when its test is over."""
    project = server.project()
    yield project
    assert server.http.delete(project).status_code == 204
    until(lambda: not [name for name in server.processes().values() if "qemu" in name], "the end of all machines")


def machine(server: Server, project: str, name: str = "G", **own: Any) -> str:
    """A machine that is at its firmware's prompt in a moment."""
    plain = {"kernel_image": "ipxe.lkrn", "kernel_command_line": "shell", "ram": 32, "process_priority": "normal"}
    return server.vm(project, name, kind="qemu", **{**plain, **own})


def ask(server: Server, method: str, path: str, status: int, body: Any = None) -> Any:
    reply = server.http.request(method, path, **({} if body is None else {"json": body}))
    assert reply.status_code == status, f"{method} {path}: {reply.status_code} {reply.text}"
    return reply.json() if reply.content else None


def console(server: Server, vm: str, stack: ExitStack) -> Viewer:
    return stack.enter_context(Viewer(server.http.get(vm).json()["console"]))


def repeat(viewer: Viewer, command: str, wanted: bytes) -> None:
    """Type the command until its output has that."""

    def once() -> bool:
        viewer.type(command)
        try:
            viewer.until(wanted, 4.0)
        except AssertionError:
            return False
        return True

    until(once, f"{wanted!r} from {command}", 60.0)


def test_a_linux_guest_routes_is_rewired_captured_suspended_and_shut_down(server: Server, project: str) -> None:
    """One test, since it boots once: that takes most of its time."""
    guest = server.vm(project, "R", kind="qemu", kernel_command_line=LINE, acpi_shutdown=True, **LINUX)
    pcs = [server.vm(project, f"PC{n}", startup_script=f"ip 10.0.{n}.2/24 10.0.{n}.1\n") for n in range(2)]
    for number, pc in enumerate(pcs):
        wire(server, project, (pc, 0), (guest, number))
    for vm in (guest, *pcs):
        ask(server, "POST", f"{vm}/start", 204)
    with ExitStack() as stack:
        router = console(server, guest, stack)
        router.until(PROMPT, UP_WITHIN)
        until(lambda: server.http.get(guest).json()["ready"], "the VM to be ready")
        one = console(server, pcs[0], stack)
        repeat(one, "ping 10.0.1.2 -c 1", b"10.0.1.2 icmp_seq=1 ttl=63")
        repeat(router, "ping -c 1 10.0.1.2", b"ttl=64")

        # the guest sees which cards are linked; the third one becomes so while it runs
        repeat(router, "cat /sys/class/net/eth2/carrier", b"\n0\r\n")
        ask(server, "DELETE", f"{guest}/adapters/1/ports/0/nio", 204)
        repeat(router, "cat /sys/class/net/eth1/carrier", b"\n0\r\n")
        ask(server, "POST", f"{pcs[1]}/stop", 204)
        wire(server, project, (pcs[1], 0), (guest, 2))
        repeat(router, "cat /sys/class/net/eth2/carrier", b"\n1\r\n")
        ask(server, "PUT", pcs[1], 200, {"startup_script": "ip 10.0.2.2/24 10.0.2.1\n"})
        ask(server, "POST", f"{pcs[1]}/start", 204)
        other = console(server, pcs[1], stack)
        repeat(other, "ping 10.0.0.2 -c 1", b"10.0.0.2 icmp_seq=1 ttl=63")

        # what passes a card is captured
        capture = f"{guest}/adapters/2/ports/0"
        path = ask(server, "POST", f"{capture}/start_capture", 200, {"capture_file_name": "wire.pcap"})
        repeat(other, "ping 10.0.2.1 -c 1", b"10.0.2.1 icmp_seq=1 ttl=64")
        ask(server, "POST", f"{capture}/stop_capture", 204)
        frames = packets(Path(path["pcap_file_path"]).read_bytes())
        assert {0, 8} <= {frame[34] for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 1}

        ask(server, "POST", f"{guest}/suspend", 204)
        one.type("ping 10.0.0.1 -c 1")
        one.until(b"10.0.0.1 icmp_seq=1 timeout", 10.0)
        ask(server, "POST", f"{guest}/resume", 204)
        repeat(one, "ping 10.0.0.1 -c 1", b"10.0.0.1 icmp_seq=1 ttl=64")

    # its power button ends it
    ask(server, "POST", f"{guest}/stop", 204)
    assert "did not shut down" not in server.log
    assert server.http.get(guest).json()["status"] == "stopped"


def packets(data: bytes) -> list[bytes]:
    """The frames of a pcap file."""
    assert struct.unpack_from("=I", data) == (0xA1B2C3D4,)
    assert struct.unpack_from("=I", data, 20) == (1,), "Ethernet"
    found, at = [], 24
    while at < len(data):
        length = struct.unpack_from("=I", data, at + 8)[0]
        found.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return found


def test_a_server_that_is_killed_leaves_it_to_the_next_one(tmp_path: Path, settings: Path) -> None:
    with running(tmp_path / "projects", "--config", str(settings)) as server:
        project = server.project()
        script = "ifopen net0 && set net0/ip 10.0.0.1 && set net0/netmask 255.255.255.0 && shell"
        vm = machine(server, project, adapters=2, kernel_command_line=script)
        pc = server.vm(project, "PC", startup_script="ip 10.0.0.2/24\n")
        nios = wire(server, project, (pc, 0), (vm, 0))
        for one in (vm, pc):
            ask(server, "POST", f"{one}/start", 204)
        with ExitStack() as stack:
            repeat(console(server, pc, stack), "ping 10.0.0.1 -c 1", b"10.0.0.1 icmp_seq=1 ttl=")
        pid = qemu_of(server)
        server.kill()
        with server.again() as again, ExitStack() as stack:
            assert again.http.get(vm).json()["status"] == "started"
            assert qemu_of(again) == pid
            viewer = console(again, pc, stack)
            repeat(viewer, "ping 10.0.0.1 -c 1", b"10.0.0.1 icmp_seq=1 ttl=")
            port = f"{vm}/adapters/0/ports/0/nio"
            ask(again, "POST", port, 201, nios[1])  # the same port again, of which this server has no copy
            repeat(viewer, "ping 10.0.0.1 -c 1", b"10.0.0.1 icmp_seq=1 ttl=")
            ask(again, "POST", f"{vm}/suspend", 204)
            viewer.type("ping 10.0.0.1 -c 1")
            viewer.until(b"icmp_seq=1 timeout", 10.0)
            ask(again, "POST", f"{vm}/stop", 204)
            assert not Path(f"/proc/{pid}").exists()
            ask(again, "DELETE", project, 204)


def qemu_of(server: Server) -> int:
    """The process of the only machine."""
    return next(pid for pid, name in server.processes().items() if "qemu" in name)


def test_a_guest_that_does_not_shut_down_is_ended(tmp_path: Path, settings: Path) -> None:
    patience = {"LABPLANE_MAX_PATIENCE": "1"}
    with running(tmp_path / "projects", "--config", str(settings), environment=patience) as server:
        project = server.project()
        vm = machine(server, project, acpi_shutdown=True)
        ask(server, "POST", f"{vm}/start", 204)
        pid = qemu_of(server)
        ask(server, "POST", f"{vm}/stop", 204)
        assert not Path(f"/proc/{pid}").exists()
        assert "did not shut down within 1 s" in server.log


def test_kvm_is_used_only_if_a_guest_boots_with_it(
    server: Server, project: str, tmp_path: Path, settings: Path
) -> None:
    works = "x86_64" in ask(server, "GET", "/v1/qemu/capabilities", 200)["kvm"]
    vm = machine(server, project)
    ask(server, "POST", f"{vm}/start", 204)
    assert ("-accel kvm" in server.http.get(vm).json()["command_line"]) is works
    with ExitStack() as stack:
        console(server, vm, stack).until(b"iPXE> ", UP_WITHIN)
    config = tmp_path / "labplane.toml"
    config.write_text(settings.read_text() + "[plugins.qemu]\nkvm = 'require'\n")
    with running(tmp_path / "projects", "--config", str(config)) as strict:
        vm = machine(strict, strict.project())
        reply = strict.http.post(f"{vm}/start")
        if not works:
            assert reply.status_code == 409
            assert "requires" in reply.json()["message"]
            vm = machine(strict, strict.project(), options="-no-kvm")
            reply = strict.http.post(f"{vm}/start")
        assert reply.status_code == 204


def test_its_screen_is_seen_by_vnc(server: Server, project: str) -> None:
    vm = machine(server, project, console_type="vnc")
    ask(server, "POST", f"{vm}/start", 204)
    shown = server.http.get(vm).json()
    assert (shown["console_type"], shown["ready"]) == ("vnc", True)
    with ExitStack() as stack:
        for _ in range(2):
            viewer = stack.enter_context(socket.create_connection(("127.0.0.1", shown["console"]), 20.0))
            viewer.settimeout(20.0)
            assert viewer.recv(12).startswith(b"RFB 003.")


def test_disks_are_clones_and_images_are_made_by_qemu_img(server: Server, project: str) -> None:
    new = {"qemu_img": "/usr/bin/qemu-img", "format": "qcow2", "size": 8, "lazy_refcounts": "on", "cluster_size": 65536}
    ask(server, "POST", "/v1/qemu/img", 201, {**new, "path": "a.qcow2"})
    assert "already" in ask(server, "POST", "/v1/qemu/img", 409, {**new, "path": "a.qcow2"})["message"]
    ask(server, "POST", "/v1/qemu/img", 403, {**new, "path": "/etc/a.qcow2"})
    ask(server, "POST", "/v1/qemu/img", 400, {**new, "path": "b", "qemu_img": "/bin/sh"})
    assert "a.qcow2" in [one["path"] for one in ask(server, "GET", "/v1/qemu/vms", 200)]
    vm = machine(server, project, hda_disk_image="a.qcow2", hdb_disk_image="a.qcow2", hdb_disk_interface="virtio")
    for number in range(2):
        ask(server, "POST", f"{vm}/start", 204)
        shown = server.http.get(vm).json()
        assert "file=hda_disk.qcow2,format=qcow2,if=ide" in shown["command_line"]
        assert (server.projects / shown["vm_directory"] / "hdb_disk.qcow2").stat().st_size > 0
        ask(server, "POST", f"{vm}/stop", 204)
        if not number:
            ask(server, "POST", "/v1/qemu/img", 201, {**new, "path": "b.qcow2"})
            ask(server, "PUT", vm, 200, {"hda_disk_image": "b.qcow2"})
    assert (server.projects / shown["vm_directory"] / "hda_disk.qcow2.former").exists()


def test_what_is_installed_is_told(server: Server) -> None:
    found = ask(server, "GET", "/v1/qemu/binaries", 200, {"archs": ["x86_64"]})
    assert [Path(one["path"]).name for one in found] == ["qemu-system-x86_64"]
    assert found[0]["version"][0].isdigit()
    assert Path(ask(server, "GET", "/v1/qemu/img-binaries", 200)[0]["path"]).name == "qemu-img"
    assert set(ask(server, "GET", "/v1/qemu/capabilities", 200)["kvm"]) <= {"i386", "x86_64"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"options": "-monitor tcp:127.0.0.1:4444,server"}, "-monitor"),
        ({"options": "-smbios file=/etc/shadow"}, "-smbios"),
        ({"options": "-cpu 'max"}, "split"),
        ({"cpu_throttling": 50}, "cpu_throttling"),
        ({"qemu_path": "/tmp/sh"}, "qemu_path"),
        ({"mac_address": "01:00:00:00:00:00"}, "group"),
        ({"kernel_image": "../../etc/passwd"}, "passwd"),
    ],
)
def test_what_cannot_be_had_is_refused(server: Server, project: str, given: Mapping[str, Any], words: str) -> None:
    reply = server.http.post(f"{project}/qemu/vms", json={"name": "no", **given})
    assert reply.status_code == 400
    assert words in reply.json()["message"]
    assert ask(server, "GET", f"{project}/qemu/vms", 200) == []


def test_a_machine_with_more_memory_than_a_vm_may_use_is_not_started(tmp_path: Path, settings: Path) -> None:
    environment = {"LABPLANE_MAX_VM_RESIDENT": str(64 * 1024 * 1024)}
    with running(tmp_path / "projects", "--config", str(settings), environment=environment) as server:
        vm = machine(server, server.project(), ram=65)
        refused = ask(server, "POST", f"{vm}/start", 409)
        assert "has 65 MiB of memory, and all programs of a VM use up to 64 MiB here." in refused["message"]
        assert ask(server, "GET", vm, 200)["status"] == "stopped"
        ask(server, "PUT", vm, 200, {"ram": 64})
        ask(server, "POST", f"{vm}/start", 204)


def test_harmless_options_and_a_full_house_of_adapters_start(server: Server, project: str) -> None:
    vm = machine(
        server,
        project,
        adapters=32,
        options="-nographic -cpu qemu64 -usbdevice tablet",
        mac_address="00:ab:cd:ef:01:00",
    )
    ask(server, "POST", f"{vm}/start", 204)
    shown = server.http.get(vm).json()
    assert "-cpu qemu64" in shown["command_line"]
    assert "mac=00:ab:cd:ef:01:1f" in shown["command_line"]
    assert shown["kernel_image_md5sum"] is None
