"""Desktop clients of GNS3 1.x at work: what they send, in which order, on which connections, and what they need back.

Rule by rule the same is tested beside this; here it is what a user of the program does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop import Desktop, Refused
from support import Server, Viewer

VERSIONS = ["1.3.13", "1.5.4"]
PORT = "adapters/0/ports/0/nio"


@pytest.fixture(params=VERSIONS)
def desktop(server: Server, request: pytest.FixtureRequest) -> Iterator[Desktop]:
    """A client that found the server worth talking to (V-1)."""
    with Desktop(server.port, request.param) as desktop:
        yield desktop


@pytest.fixture
def path(desktop: Desktop) -> Iterator[str]:
    """The path of a project that the client opened, and closes in the end."""
    project = desktop.call("POST", "/projects", {"name": "unsaved", "temporary": True, "project_id": None})
    path = f"/projects/{project['project_id']}"
    yield path
    desktop.call("POST", f"{path}/close", {})


def drawn(desktop: Desktop, path: str, script: str | None = None) -> tuple[list[dict[str, Any]], list[int]]:
    """Two PCs with a link, drawn faster than the server answers; the VMs and their UDP ports."""
    more = {} if script is None else {"startup_script": script}
    vms = desktop.at_once("POST", *((f"{path}/vpcs/vms", {"name": name, **more}) for name in ("PC1", "PC2")))
    ports = [reply["udp_port"] for reply in desktop.at_once("POST", *((f"{path}/ports/udp", {}),) * 2)]
    nios = [
        (f"{path}/vpcs/vms/{vm['vm_id']}/{PORT}", nio(lport, rport))
        for vm, lport, rport in zip(vms, ports, reversed(ports), strict=True)
    ]
    assert desktop.at_once("POST", *nios) == [nio for _, nio in nios]
    return vms, ports


def nio(lport: int, rport: int) -> dict[str, Any]:
    return {"type": "nio_udp", "lport": lport, "rport": rport, "rhost": "127.0.0.1"}


def test_the_kind_of_server_decides_who_talks_to_it(server: Server, local: Server) -> None:
    """V-1, O-8: a remote server must not be a local one, and the other way round."""
    with Desktop(server.port), Desktop(local.port, local=True):
        pass
    for desktop in (Desktop(server.port, local=True), Desktop(local.port)):
        with pytest.raises(AssertionError, match="wrong kind"), desktop:
            pass


def test_two_of_everything_may_be_asked_for_at_once(desktop: Desktop, path: str) -> None:
    """L-2, L-3: creates, ports, NIOs, starts; and the two PCs hear each other.

    T-10: looking at that takes longer than five seconds, in which the connections idle and must not be closed.
    """
    vms, ports = drawn(desktop, path)
    assert len({vm["vm_id"] for vm in vms}) == len({vm["console"] for vm in vms}) == len(set(ports)) == 2
    assert all("startup_script" in vm for vm in vms)
    starts: list[tuple[str, dict[str, Any]]] = [(f"{path}/vpcs/vms/{vm['vm_id']}/start", {}) for vm in vms]
    assert desktop.at_once("POST", *starts) == [{}, {}]
    with Viewer(vms[0]["console"]) as one, Viewer(vms[1]["console"]) as two:
        for viewer, address in ((one, "10.0.0.1"), (two, "10.0.0.2")):
            viewer.type(f"ip {address}")
            viewer.until(f"VPCS : {address}".encode())
        two.type("ping 10.0.0.1 -c 1")
        two.until(b"10.0.0.1 icmp_seq=1 ttl=64 time=")


def test_a_running_pc_can_be_unplugged(desktop: Desktop, path: str) -> None:
    """N-6: 204, though the PC hears of it at its next start only; then it has no link, and says so."""
    vms, _ = drawn(desktop, path)
    vm = f"{path}/vpcs/vms/{vms[0]['vm_id']}"
    desktop.call("POST", f"{vm}/start")
    assert desktop.call("DELETE", f"{vm}/{PORT}") == {}
    assert desktop.call("GET", vm)["status"] == "started"
    desktop.call("POST", f"{vm}/stop")
    with pytest.raises(Refused, match="is not linked") as refused:
        desktop.call("POST", f"{vm}/start")
    assert refused.value.status == 409


def test_what_was_saved_is_the_same_when_it_is_opened_again(desktop: Desktop, tmp_path: Path) -> None:
    """P-4, M-6, M-8: the program posts ids, names and consoles of its file, and no script: that is on the disk."""
    project = desktop.call("POST", "/projects", {"name": "lab", "temporary": False, "project_id": None})
    path = f"/projects/{project['project_id']}"
    vms, _ = drawn(desktop, path, script="set pcname %h\n")
    assert [vm["startup_script"] for vm in vms] == ["set pcname PC1\n", "set pcname PC2\n"]
    assert desktop.call("POST", f"{path}/commit", {}) == {}
    assert desktop.call("POST", f"{path}/close", {}) == {}

    script = Path(vms[1]["vm_directory"]) / "startup.vpc"
    script.write_text("set pcname PC2\nip 10.0.0.2\n")
    again = {"name": "lab", "temporary": False, "project_id": project["project_id"]}
    assert desktop.call("POST", "/projects", again)["project_id"] == project["project_id"]
    saved = [{key: vm[key] for key in ("name", "vm_id", "console")} for vm in vms]
    opened = desktop.at_once("POST", *((f"{path}/vpcs/vms", vm) for vm in reversed(saved)))
    assert opened == [{**vms[1], "startup_script": script.read_text()}, vms[0]]
    desktop.call("DELETE", path)


def test_a_rename_answers_with_name_and_script(desktop: Desktop, path: str) -> None:
    """M-10, M-11: the program shows what the reply says, and asks for nothing more."""
    vm, _ = drawn(desktop, path, script="set pcname %h\n")[0]
    renamed = desktop.call("PUT", f"{path}/vpcs/vms/{vm['vm_id']}", {"name": "gate"})
    assert renamed == {**vm, "name": "gate", "startup_script": "set pcname gate\n"}


def test_a_console_that_is_taken_stays_with_its_owner(desktop: Desktop, path: str) -> None:
    """M-4, M-10, B-3: 409, and the program keeps the old number on both."""
    one, two = drawn(desktop, path)[0]
    with pytest.raises(Refused) as refused:
        desktop.call("PUT", f"{path}/vpcs/vms/{two['vm_id']}", {"console": one["console"]})
    assert refused.value.status == 409
    for vm in (one, two):
        assert desktop.call("GET", f"{path}/vpcs/vms/{vm['vm_id']}") == vm
