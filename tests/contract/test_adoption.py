"""VMs outlive their server: the next one takes over what runs, says how the rest ended, and ends the unknown."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import labplane_keeper
from expect import nothing, shown
from host import runs, udp_ports_of
from labplane_keeper import visiting
from machines import linked, show, start, together
from support import Server, running, until


def pinging_pair(server: Server, project: str) -> tuple[str, str]:
    """Two VPCS that run; the first pings the second, once a second, without end."""
    one, two = server.linked_pair(project)
    for vm, address in ((one, "10.0.0.1"), (two, "10.0.0.2")):
        nothing(server.http.post(f"{vm}/start", json={}))
        typed(show(server, vm)["console"], f"ip {address}/24\r", b" : " + address.encode())
    typed(show(server, one)["console"], "ping 10.0.0.2 -t\r", b"icmp_seq=1 ")
    return one, two


def typed(console: int, text: str, until_words: bytes) -> bytes:
    """What a console prints after `text` was typed, until these words."""
    with socket.create_connection(("127.0.0.1", console), 10) as end:
        end.settimeout(20)
        end.sendall(text.encode())
        return seen(end, until_words)


def seen(end: socket.socket, words: bytes) -> bytes:
    printed = b""
    while words not in printed:
        data = end.recv(4096)
        assert data, f"the console was closed after {printed[-200:]!r}"
        printed += data
    return printed


def test_a_killed_server_loses_nothing_its_vpcs_ping_on_and_the_next_one_has_them(tmp_path: Path) -> None:
    """S-8: same process, same console, same lport, no byte of the console lost, the ping never interrupted."""
    with running(tmp_path / "projects") as server:
        project = server.project()
        one, two = pinging_pair(server, project)
        before = {vm: show(server, vm) for vm in (one, two)}
        pids = sorted(server.children())
        ports = sorted(sorted(udp_ports_of(pid)) for pid in pids)
        server.kill()
        assert all(runs(pid) for pid in pids)
        with server.again() as again:
            assert sorted(again.children()) == pids
            for vm in (one, two):
                assert show(again, vm) == before[vm]
            assert before[one]["status"] == "started"
            with socket.create_connection(("127.0.0.1", before[one]["console"]), 10) as end:
                end.settimeout(20)
                whole = seen(end, b"icmp_seq=1 ")
                latest = int(re.findall(rb"icmp_seq=(\d+)", whole)[-1])
                whole += seen(end, b"icmp_seq=%d " % (latest + 3))
            numbers = [int(number) for number in re.findall(rb"icmp_seq=(\d+) ttl", whole)]
            assert numbers == list(range(1, numbers[-1] + 1)), "each answer is there, once, in order"
            assert b"timeout" not in whole
            log = Path(before[one]["vm_directory"], "vpcs.log").read_bytes()
            assert [int(n) for n in re.findall(rb"icmp_seq=(\d+) ttl", log)][: len(numbers)] == numbers
            assert ports == sorted(sorted(udp_ports_of(pid)) for pid in pids)
            nothing(again.http.post(f"{one}/stop", json={}))
            assert len(again.children()) == 1
            nothing(again.http.post(f"{one}/start", json={}))
            assert show(again, one)["console"] == before[one]["console"]
            nothing(again.http.delete(project))
            assert again.children() == []


def test_what_ended_while_no_server_was_there_is_stopped_and_can_be_started(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        project = server.project()
        vms = [linked(server, project) for _ in range(2)]
        pids = [start(server, vm) for vm in vms]
        typed(show(server, vms[0])["console"], "", b"VPCS> ")
        server.kill()
        os.kill(pids[0], signal.SIGKILL)
        until(lambda: not runs(pids[0]), "its end")
        with server.again() as again:
            assert [show(again, vm)["status"] for vm in vms] == ["stopped", "started"]
            assert "ended by signal 9 while no server was there" in again.log
            killed, runs_on = shown(again.http.get(f"{project}/topology"))["nodes"]
            assert killed["last_exit"]["status"] == -signal.SIGKILL
            assert killed["last_exit"]["last_line"] == "VPCS>"
            assert runs_on["last_exit"] is None
            pid = start(again, vms[0])
            assert pid not in pids
            assert len(udp_ports_of(pid)) == 1


def test_when_keeper_and_server_are_killed_all_is_stopped_and_can_be_started(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        project = server.project()
        vm = linked(server, project)
        pid = start(server, vm)
        server.kill()  # first, or it might see the end of VPCS
        with visiting.visiting(server.projects / ".labplane") as keeper:
            os.kill(keeper.hello["pid"], signal.SIGKILL)
        until(lambda: not runs(pid), "the end of VPCS with its terminal")
        with server.again() as again:
            assert show(again, vm)["status"] == "stopped"
            (node,) = shown(again.http.get(f"{project}/topology"))["nodes"]
            assert node["last_exit"] == {"status": None, "last_line": ""}
            assert "no longer runs: it ended with its server, its keeper or the system. Start it again." in again.log
            start(again, vm)


def test_when_the_keeper_is_killed_its_vms_are_stopped_at_once_and_can_be_started(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        project = server.project()
        vms = [linked(server, project) for _ in range(3)]
        for vm in vms:
            start(server, vm)
        with visiting.visiting(server.projects / ".labplane") as keeper:
            os.kill(keeper.hello["pid"], signal.SIGKILL)
        until(lambda: [show(server, vm)["status"] for vm in vms] == ["stopped"] * 3, "what the server knows", 5.0)
        assert "ended because its keeper has ended; it can be started again" in server.log
        until(lambda: not server.children(), "the keeper to be reaped")
        for vm in vms:
            start(server, vm)
        assert len(server.children()) == 3


def test_what_no_project_knows_is_ended(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vm = linked(server, server.project(temporary=True))
        pid = start(server, vm)
        directory = Path(show(server, vm)["vm_directory"])
        server.kill()
        assert runs(pid)
        with server.again() as again:
            assert not runs(pid)
            assert again.children() == []
            assert not directory.exists()


def end_by_request(server: Server) -> None:
    assert server.http.post("/v1/server/shutdown").status_code == 201
    server.process.wait(20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_with_keep_a_server_that_ends_in_order_leaves_its_vms_to_the_next(number: int, tmp_path: Path) -> None:
    """A-3; those of temporary projects end all the same."""
    with running(tmp_path / "projects", "--keep") as server:
        project = server.project()
        one, two = pinging_pair(server, project)
        temporary = start(server, linked(server, server.project(temporary=True)))
        pids = sorted(set(server.children()) - {temporary})
        before = [show(server, vm) for vm in (one, two)]
        server.stop(number)
        assert all(map(runs, pids))
        assert not runs(temporary)
        with running(server.projects) as again:
            assert [show(again, vm) for vm in (one, two)] == before
            assert sorted(again.children()) == pids
            again.stop()
            assert not any(map(runs, pids)), "without --keep they end"


def test_a_shutdown_by_request_ends_everything_even_with_keep(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--on-exit", "keep", "--local") as server:
        pid = start(server, linked(server, server.project()))
        end_by_request(server)
        assert not runs(pid)
        until(lambda: not (server.projects / ".labplane" / "socket").exists(), "the end of the keeper")


def test_a_server_can_be_killed_again_and_again(tmp_path: Path) -> None:
    with ExitStack() as servers:
        server = servers.enter_context(running(tmp_path / "projects"))
        project = server.project()
        vms = [linked(server, project) for _ in range(6)]
        pids = sorted(start(server, vm) for vm in vms)
        for _ in range(3):
            server.kill()
            server = servers.enter_context(server.again())
            assert sorted(server.children()) == pids
            assert {show(server, vm)["status"] for vm in vms} == {"started"}


AS_OF_THE_RELEASED_KEEPER = "import labplane_keeper\nlabplane_keeper.VERSION = 1\n"


def test_a_server_upgrades_a_released_keeper_over_twenty_pinging_vpcs(tmp_path: Path) -> None:
    """Same keeper process, same VPCS, no answer lost: a server of the time before, then one of now."""
    released = Path(__file__).parents[1] / "kernel" / "keeper" / "released" / "keeper-1.pyz"
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "sitecustomize.py").write_text(AS_OF_THE_RELEASED_KEEPER)
    place = tmp_path / "projects" / ".labplane"
    place.mkdir(mode=0o700, parents=True)
    command = [sys.executable, "-IS", str(released), str(place.resolve()), "60", "0"]
    with ExitStack() as stack:
        keeper = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True))
        stack.callback(keeper.wait, 20)
        stack.callback(visiting.end_all, place, 0.0)
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"ready\n"
        path = os.pathsep.join([str(earlier), *sys.path])
        server = stack.enter_context(running(tmp_path / "projects", environment={"PYTHONPATH": path}))
        project = server.project()
        vms = [vm for _ in range(10) for vm in server.linked_pair(project)]
        for place_in_pair, vm in enumerate(vms):
            own, other = (1, 2) if place_in_pair % 2 == 0 else (2, 1)
            text = f"ip 10.0.0.{own}/24\nping 10.0.0.{other} -t\n"
            shown(server.http.put(vm, json={"startup_script": text}))
        assert set(together(server, [f"{vm}/start" for vm in vms])) == {204}
        with visiting.visiting(place) as visit:
            assert (visit.hello["version"], visit.hello["pid"]) == (1, keeper.pid)
        pids = sorted(server.children())
        assert len(pids) == 20
        consoles = [show(server, vm)["console"] for vm in vms]
        for console in consoles:
            answers(console, 3)
        server.kill()
        again = stack.enter_context(running(server.projects, **ports_of(server)))
        with visiting.visiting(place) as visit:
            assert (visit.hello["version"], visit.hello["pid"]) == (labplane_keeper.VERSION, keeper.pid)
        assert sorted(again.children()) == pids
        assert [show(again, vm)["console"] for vm in vms] == consoles
        for console in consoles:
            numbers = answers(console, 8)
            first = numbers.index(1) if 1 in numbers else 0
            assert numbers[first:] == list(range(numbers[first], numbers[-1] + 1)), "each answer, once, in order"


def answers(console: int, at_least: int) -> list[int]:
    """The numbers of the answers that the console of a VPCS that pings shows, once that one is there."""
    with socket.create_connection(("127.0.0.1", console), 10) as end:
        end.settimeout(30)
        printed = b""
        while True:
            numbers = [int(number) for number in re.findall(rb"icmp_seq=(\d+) ttl", printed)]
            if numbers and numbers[-1] >= at_least:
                return numbers
            data = end.recv(4096)
            assert data, f"the console was closed after {printed[-200:]!r}"
            printed += data


def ports_of(server: Server) -> dict[str, Any]:
    return {"consoles": "{}-{}".format(*server.consoles), "udp": "{}-{}".format(*server.udp)}
