"""Linux nodes over HTTP, as users have them: routers between real PCs, hot links, captures."""

import re
import shutil
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters import wire
from support import Server, Viewer, running, until

CONVERGES_WITHIN = 60.0
PROMPT = b":~# "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("linux") / "projects", "--strict") as server:
        yield server


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    """A project of which nothing is left when its test is over."""
    project = server.project()
    yield project
    assert server.http.delete(project).status_code == 204
    until(lambda: not [name for name in server.processes().values() if "python" not in name], "the end of all nodes")


def node(server: Server, project: str, name: str, **settings: Any) -> str:
    return server.vm(project, name, kind="linux", **settings)


def start(server: Server, *vms: str) -> None:
    for vm in vms:
        reply = server.http.post(f"{vm}/start")
        assert reply.status_code == 204, reply.text


def console(server: Server, vm: str, stack: ExitStack) -> Viewer:
    return stack.enter_context(Viewer(server.http.get(vm).json()["console"]))


def area(*networks: str) -> str:
    lines = "".join(f" network {network} area 0\n" for network in networks)
    return f"router ospf\n timers throttle lsa all 100\n timers lsa min-arrival 100\n{lines}{FAST}"


FAST = """interface eth1
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ip ospf retransmit-interval 1
"""


def repeat(viewer: Viewer, command: str, wanted: bytes) -> None:
    """Type the command until its output has that."""

    def once() -> bool:
        viewer.type(command)
        try:
            viewer.until(wanted, 3.0)
        except AssertionError:
            return False
        return True

    until(once, f"{wanted!r} from {command}", CONVERGES_WITHIN)


def between_pcs(server: Server, project: str, routers: list[str]) -> list[str]:
    """PC1 and PC2 on eth0 of two routers, which are linked by eth1; all four are started."""
    pcs = [
        server.vm(project, f"PC{number}", startup_script=f"ip 10.0.{number}.2/24 10.0.{number}.1\n")
        for number in (1, 2)
    ]
    wire(server, project, (routers[0], 1), (routers[1], 1))
    for pc, router in zip(pcs, routers, strict=True):
        wire(server, project, (pc, 0), (router, 0))
    start(server, *routers, *pcs)
    return pcs


def addresses(number: int) -> str:
    return f"ip addr add 10.0.{number}.1/24 dev eth0\nip addr add 10.0.9.{number}/24 dev eth1\n"


def ospf_routers(server: Server, project: str) -> list[str]:
    return [
        node(
            server,
            project,
            f"R{number}",
            startup_script=addresses(number),
            frr_conf=area(f"10.0.{number}.0/24", "10.0.9.0/24"),
        )
        for number in (1, 2)
    ]


def traces(pc: Viewer) -> None:
    """PC1 sees both routers on the way to PC2."""
    pc.type("trace 10.0.2.2 -P 1")
    for hop in (b"1   10.0.1.1 ", b"2   10.0.9.2 ", b"3   10.0.2.2 "):
        pc.until(hop)
    pc.until(b"> ")


def test_two_pcs_trace_each_other_through_two_ospf_routers_which_outlast_their_server(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--strict") as server, ExitStack() as stack:
        project = server.project()
        routers = ospf_routers(server, project)
        pcs = between_pcs(server, project, routers)
        pc = console(server, pcs[0], stack)
        repeat(pc, "ping 10.0.2.2 -c 1", b"10.0.2.2 icmp_seq=1 ttl=")
        traces(pc)
        router = console(server, routers[0], stack)
        router.until(b"R1" + PROMPT)
        router.type("vtysh -c 'show ip route ospf'")
        router.until(b"O>* 10.0.2.0/24")
        captured(server, routers[1], "before.pcap")
        pc.type("ping 10.0.2.2 -c 7")
        pc.until(b"icmp_seq=2 ")
        ran = server.processes()
        server.kill()
        again = stack.enter_context(server.again())
        assert again.processes() == ran
        assert {again.http.get(vm).json()["status"] for vm in (*routers, *pcs)} == {"started"}
        pc = console(again, pcs[0], stack)
        pings = pc.until(b"icmp_seq=7 ").partition(b"-c 7")[2]
        assert [int(number) for number in re.findall(rb"icmp_seq=(\d+) ttl=62", pings)] == [*range(1, 7)], pings
        pc.until(b"> ")
        traces(pc)
        path = captured(again, routers[1], "after.pcap")
        router = console(again, routers[0], stack)
        link = f"{routers[0]}/adapters/1/ports/0/nio"
        nio = again.http.get(link).json()
        assert again.http.delete(link).status_code == 204
        repeat(router, "ip -br link show eth1", b"NO-CARRIER")
        assert again.http.post(link, json=nio).status_code == 201
        repeat(pc, "ping 10.0.2.2 -c 1", b"10.0.2.2 icmp_seq=1 ttl=")
        for vm in routers:
            assert again.http.post(f"{vm}/stop").status_code == 204
        assert packets(path.read_bytes())
        assert not [name for name in again.processes().values() if name in ("bash", "zebra", "ospfd")]


def captured(server: Server, vm: str, name: str) -> Path:
    """Begin a capture at eth1; its file."""
    reply = server.http.post(f"{vm}/adapters/1/ports/0/start_capture", json={"capture_file_name": name})
    assert reply.status_code == 200, reply.text
    return Path(reply.json()["pcap_file_path"])


def test_two_pcs_reach_each_other_through_two_bgp_routers(server: Server, project: str) -> None:
    routers = []
    for number in (1, 2):
        other = 3 - number
        bgp = (
            f"router bgp 6500{number}\n no bgp ebgp-requires-policy\n neighbor 10.0.9.{other} remote-as 6500{other}\n"
            f" neighbor 10.0.9.{other} timers connect 1\n"
            f" address-family ipv4 unicast\n  network 10.0.{number}.0/24\n exit-address-family\n"
        )
        routers.append(node(server, project, f"R{number}", startup_script=addresses(number), frr_conf=bgp))
    pcs = between_pcs(server, project, routers)
    with ExitStack() as stack:
        pc = console(server, pcs[1], stack)
        repeat(pc, "ping 10.0.1.2 -c 1", b"10.0.1.2 icmp_seq=1 ttl=")


def test_a_link_is_plugged_and_unplugged_while_it_runs_and_the_card_shows_it(server: Server, project: str) -> None:
    host = node(server, project, "H", adapters=2, startup_script="ip addr add 10.0.0.1/24 dev eth1")
    pc = server.vm(project, "PC", startup_script="ip 10.0.0.2/24\n")
    with ExitStack() as stack:
        start(server, host)
        viewer = console(server, host, stack)
        repeat(viewer, "ip -br link show eth1", b"NO-CARRIER")
        nios = wire(server, project, (host, 1), (pc, 0))
        start(server, pc)
        repeat(viewer, "ip -br link show eth1", b",LOWER_UP")
        repeat(viewer, "ping -c 1 10.0.0.2", b"ttl=64")
        path = f"{host}/adapters/1/ports/0/nio"
        assert server.http.post(path, json=nios[0]).status_code == 201, "the same port again"
        repeat(viewer, "ping -c 1 10.0.0.2", b"ttl=64")
        assert server.http.delete(path).status_code == 204
        repeat(viewer, "ip -br link show eth1", b"NO-CARRIER")
        repeat(viewer, "ip -br link show eth0", b"NO-CARRIER")


def test_what_passes_a_port_is_captured(server: Server, project: str) -> None:
    host = node(server, project, "H", startup_script="ip addr add 10.0.0.1/24 dev eth0")
    pc = server.vm(project, "PC", startup_script="ip 10.0.0.2/24\n")
    wire(server, project, (host, 0), (pc, 0))
    start(server, host, pc)
    reply = server.http.post(f"{host}/adapters/0/ports/0/start_capture", json={"capture_file_name": "wire.pcap"})
    assert reply.status_code == 200, reply.text
    path = Path(reply.json()["pcap_file_path"])
    with ExitStack() as stack:
        viewer = console(server, pc, stack)
        repeat(viewer, "ping 10.0.0.1 -c 1", b"10.0.0.1 icmp_seq=1 ttl=")
    assert server.http.post(f"{host}/adapters/0/ports/0/stop_capture").status_code == 204
    frames = packets(path.read_bytes())
    echoes = [frame[34] for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 1]
    assert {0, 8} <= set(echoes), "request and reply of ICMP"


def packets(data: bytes) -> list[bytes]:
    """The frames of a pcap file."""
    assert struct.unpack_from("=IHH", data) == (0xA1B2C3D4, 2, 4)
    assert struct.unpack_from("=I", data, 20) == (1,), "Ethernet"
    found, at = [], 24
    while at < len(data):
        length = struct.unpack_from("=I", data, at + 8)[0]
        found.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return found


def test_a_line_is_answered_when_the_shell_is_at_its_prompt_again(server: Server, project: str) -> None:
    host = node(server, project, "H")
    start(server, host)
    until(lambda: server.http.get(host).json()["ready"], "the shell")
    for line, output in (
        ("true", ""),
        ("echo a; echo b", "a\nb"),
        (f": {'x' * 200}", ""),
        ("cd /tmp", ""),
        ("pwd", "/tmp"),
    ):
        answer = server.http.post(f"{host}/exec", json={"line": line, "timeout": 20}).json()
        assert answer == {"ended_by": "prompt", "output": output}, line


def test_a_shell_that_ends_is_begun_anew_and_the_home_stays(server: Server, project: str) -> None:
    host = node(server, project, "H")
    start(server, host)
    with ExitStack() as stack:
        viewer = console(server, host, stack)
        viewer.until(b"H" + PROMPT)
        viewer.type("echo kept > note; sleep 1.1; exit")
        viewer.until(b"H" + PROMPT)
        viewer.type("kill -9 1; cat note")
        viewer.until(b"kept\r\n")
    assert server.http.get(host).json()["status"] == "started"
    assert server.http.post(f"{host}/stop").status_code == 204
    start(server, host)
    with ExitStack() as stack:
        viewer = console(server, host, stack)
        viewer.until(b"H" + PROMPT)
        viewer.type("cat note")
        viewer.until(b"kept\r\n")


def test_what_vtysh_writes_is_the_node_s_configuration_from_then_on(server: Server, project: str) -> None:
    host = node(server, project, "H", daemons=["ospfd"])
    start(server, host)
    with ExitStack() as stack:
        viewer = console(server, host, stack)
        viewer.until(b"H" + PROMPT)
        viewer.type("vtysh -c 'conf t' -c 'router ospf' -c 'network 10.9.0.0/16 area 7' -c 'end' -c 'write'")
        viewer.until(b"onfiguration saved to /etc/frr/frr.conf")
        viewer.until(b"H" + PROMPT)
    shown = server.http.get(host).json()["frr_conf"]
    assert "\nrouter ospf\n network 10.9.0.0/16 area 7\n" in shown
    assert server.http.put(host, json={"daemons": []}).status_code == 200
    assert server.http.post(f"{host}/reload").status_code == 204
    with ExitStack() as stack:
        viewer = console(server, host, stack)
        viewer.until(b"H" + PROMPT)
        viewer.type("vtysh -c 'show running-config'")
        viewer.until(b" network 10.9.0.0/16 area 7")
        viewer.until(b"H" + PROMPT)
        changed = server.http.put(host, json={"frr_conf": "ip route 10.8.0.0/16 blackhole\n"})
        assert changed.json()["frr_conf"] == "ip route 10.8.0.0/16 blackhole\n"
        viewer.type("pidof ospfd || echo GONE")  # a change counts from the next start on
        assert b"GONE" not in viewer.until(b"H" + PROMPT).partition(b"\n")[2]
    archive = server.http.get(f"{project}/export").content
    copy = server.project()
    assert server.http.post(f"{copy}/import", content=archive).status_code == 201
    (other,) = server.http.get(f"{copy}/linux/vms").json()
    assert other["frr_conf"] == "ip route 10.8.0.0/16 blackhole\n"
    other = f"{copy}/linux/vms/{other['vm_id']}"
    start(server, other)
    with ExitStack() as stack:
        viewer = console(server, other, stack)
        viewer.until(b"H" + PROMPT)
        viewer.type("until ip route | grep black; do sleep 0.1; done; ln -sf /etc/passwd /etc/frr/frr.conf")
        viewer.until(b"blackhole 10.8.0.0/16")
        viewer.until(b"H" + PROMPT)
    assert server.http.get(other).json()["frr_conf"] is None, "a link is not followed"
    assert server.http.put(other, json={"frr_conf": "! mine\n"}).json()["frr_conf"] == "! mine\n"
    assert server.http.put(other, json={"frr_conf": None}).json()["frr_conf"] is None
    assert server.http.delete(copy).status_code == 204


@pytest.mark.parametrize("folder", ["home", "frr"])
def test_a_directory_that_leads_elsewhere_is_refused(folder: str, server: Server, project: str, tmp_path: Path) -> None:
    """A server of root would give all that is there to the node."""
    (tmp_path / "treasure").write_text("gold")
    owner = (tmp_path / "treasure").stat().st_uid
    host = node(server, project, "H")
    start(server, host)
    assert server.http.post(f"{host}/stop").status_code == 204
    home = server.projects.resolve() / server.http.get(host).json()["vm_directory"] / folder
    shutil.rmtree(home)
    home.symlink_to(tmp_path)
    reply = server.http.post(f"{host}/start")
    assert reply.status_code >= 400
    assert f"{folder!r} of the VM is a link" in reply.json()["message"]
    assert server.http.get(host).json()["status"] == "stopped"
    assert (tmp_path / "treasure").stat().st_uid == owner


def test_all_of_a_node_ends_with_it(server: Server, project: str) -> None:
    host = node(server, project, "H", frr_conf="router ospf\n", startup_script="setsid sleep 4242 &")
    start(server, host)
    with ExitStack() as stack:
        console(server, host, stack).until(b"H" + PROMPT)
    assert asleep() == 1
    assert server.http.post(f"{host}/stop").status_code == 204
    assert asleep() == 0


def asleep() -> int:
    """How many processes of this host sleep for 4242 s."""
    found = 0
    for process in Path("/proc").iterdir():
        try:
            found += process.name.isdigit() and (process / "cmdline").read_bytes() == b"sleep\x004242\x00"
        except OSError:
            continue
    return found
