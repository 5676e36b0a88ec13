"""Section 9 of docs/api.md: VPCS as a user sees them start, run and end."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest

from expect import nothing, refusal, shown
from host import command_line, runs, suspend, taken, tcp_listeners, tcp_listeners_of, timer_slack, udp_ports_of
from machines import directory, linked, show, start, together
from support import Server, Viewer, until

# Start


def test_without_a_link_nothing_starts(server: Server, project: str) -> None:
    """S-1, S-6."""
    vm = server.vm(project)
    refusal(server.http.post(f"{vm}/start", json={}), 409)
    refusal(server.http.post(f"{vm}/reload", json={}), 409)
    assert show(server, vm)["status"] == "stopped"
    assert server.children() == []


def test_a_started_vm_runs_with_its_console_and_its_port(server: Server, vm: str) -> None:
    """S-1, S-3, C-1, Q-3, Q-4: one process, which itself has the lport; the console is on loopback alone."""
    pid = start(server, vm)
    found = show(server, vm)
    assert found["status"] == "started"
    assert udp_ports_of(pid) == {server.udp[0]}
    assert ("127.0.0.1", found["console"]) in tcp_listeners()
    assert ("0.0.0.0", found["console"]) not in tcp_listeners()
    assert found["command_line"].split() == command_line(pid)
    assert "-p" not in command_line(pid)
    assert tcp_listeners_of(pid) == set()
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""


@pytest.mark.skipif(timer_slack(os.getppid()) is None, reason="Linux shows it to those with CAP_SYS_NICE alone")
def test_its_timers_may_be_late(server: Server, vm: str) -> None:
    """Q-13: those of each of its five threads."""
    tasks = Path(f"/proc/{start(server, vm)}/task")
    until(lambda: len(os.listdir(tasks)) == 5, "all of its threads")
    assert {timer_slack(int(thread)) for thread in os.listdir(tasks)} == {5_000_000}


def test_start_of_a_running_vm_changes_nothing(server: Server, vm: str) -> None:
    """S-1."""
    pid = start(server, vm)
    for _ in range(3):
        nothing(server.http.post(f"{vm}/start"))
    assert server.children() == [pid]


def test_the_arguments_are_those_that_every_version_knows(server: Server, project: str) -> None:
    """S-4, Q-2, Q-7: one instance, its MAC id, its ports; a script only when there is one."""
    plain, scripted = linked(server, project), linked(server, project, startup_script="show")
    arguments = [command_line(start(server, vm))[1:] for vm in (plain, scripted)]
    mac_ids = [int(found[found.index("-m") + 1]) for found in arguments]
    assert mac_ids[1] == (mac_ids[0] + 1) % 255
    for number, found in enumerate(arguments):
        options = dict(zip(found[::2], found[1::2], strict=False))
        assert options["-i"] == "1"
        assert int(options["-s"]) == server.udp[0] + number
        assert options["-c"] == "9"
        assert options["-t"] == "127.0.0.1"
        assert "-R" not in found
    assert "startup.vpc" not in arguments[0]
    assert arguments[1][-1] == "startup.vpc"


def test_a_vm_works_in_its_directory(server: Server, vm: str) -> None:
    """S-2, C-3."""
    pid = start(server, vm)
    assert Path(f"/proc/{pid}/cwd").readlink() == directory(server, vm)


def test_output_goes_to_the_log(server: Server, vm: str) -> None:
    """S-2."""
    start(server, vm)
    log = directory(server, vm) / "vpcs.log"
    until(lambda: b"Welcome to Virtual PC Simulator" in log.read_bytes(), "the banner in the log")
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"VPCS> ")
        viewer.type("show ip")
        viewer.until(b"GATEWAY")
    until(lambda: b"GATEWAY" in log.read_bytes(), "the answer in the log")


def test_vms_start_at_once(server: Server, project: str) -> None:
    """S-3, L-2: four of them in parallel, each with its own port."""
    vms = [linked(server, project) for _ in range(4)]
    assert together(server, [f"{vm}/start" for vm in vms]) == [204] * 4
    assert sorted(port for pid in server.children() for port in udp_ports_of(pid)) == [
        server.udp[0] + n for n in range(4)
    ]


# What can go wrong


def is_kept(number: int, kind: socket.SocketKind) -> bool:
    """Whether no program gets that port, at any address, even if it would share it."""
    for address, shares in product(("0.0.0.0", "127.0.0.1"), (0, 1)):
        with socket.socket(socket.AF_INET, kind) as stranger, suppress(OSError):
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, shares)
            stranger.bind((address, number))
            return False
    return True


def test_no_stranger_gets_the_ports_of_a_vm(server: Server, project: str) -> None:
    """U-3, M-3: from the moment when it has them to its end, whether it runs or not."""
    vm = server.vm(project)
    lport, console = shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"], show(server, vm)["console"]

    def kept() -> list[bool]:
        return [is_kept(lport, socket.SOCK_DGRAM), is_kept(console, socket.SOCK_STREAM)]

    assert kept() == [True, True]
    assert server.link(vm, lport, 9).status_code == 201
    for _ in range(2):
        assert kept() == [True, True]
        start(server, vm)
        assert kept() == [True, True]
        nothing(server.http.post(f"{vm}/stop"))
    os.kill(start(server, vm), signal.SIGKILL)
    until(lambda: show(server, vm)["status"] == "stopped", "the end of the VM")
    assert kept() == [True, True]
    nothing(server.http.delete(vm))
    assert kept() == [False, False]


def test_an_lport_that_a_stranger_has_is_a_conflict(server: Server, vm: str) -> None:
    """N-5: and the link stays as it was."""
    for address in ("0.0.0.0", "127.0.0.1"):
        with taken(server.udp[0] + 1, socket.SOCK_DGRAM, address):
            refusal(server.link(vm, server.udp[0] + 1, 9), 409)
    assert udp_ports_of(start(server, vm)) == {server.udp[0]}


# Stop, reload, the end


def test_stop_ends_the_process_and_takes_its_ports_back(server: Server, vm: str) -> None:
    """S-5, B-11: when it answers, no program has them; and it may be repeated."""
    console = show(server, vm)["console"]
    nothing(server.http.post(f"{vm}/stop", json={}))
    for _ in range(3):
        pid = start(server, vm)
        with Viewer(console) as viewer:
            viewer.until(b"VPCS> ")
            nothing(server.http.post(f"{vm}/stop", json={}))
            assert not runs(pid)
            viewer.until_closed()
        assert server.udp[0] not in [port for child in server.children() for port in udp_ports_of(child)]
        assert console not in tcp_listeners_of(server.process.pid)
        assert show(server, vm)["status"] == "stopped"
    nothing(server.http.post(f"{vm}/stop", json={}))


def test_a_process_that_does_not_heed_sigterm_is_killed_after_three_seconds(server: Server, vm: str) -> None:
    """S-5: one that is suspended gets no SIGTERM."""
    pid = start(server, vm)
    suspend(pid)
    began = time.monotonic()
    nothing(server.http.post(f"{vm}/stop"))
    assert not runs(pid)
    assert time.monotonic() - began > 2.5


def test_reload_is_stop_and_start(server: Server, vm: str) -> None:
    """S-6: of a stopped VM too; console and lport stay the same."""
    console = show(server, vm)["console"]
    pids = []
    for _ in range(3):
        nothing(server.http.post(f"{vm}/reload", json={}))
        (pid,) = server.children()
        assert udp_ports_of(pid) == {server.udp[0]}
        pids.append(pid)
        with Viewer(console) as viewer:
            viewer.until(b"VPCS> ")
    assert len(set(pids)) == 3


def test_quit_on_the_console_stops_the_vm(server: Server, vm: str) -> None:
    """S-7, Q-9: and it can be started again."""
    for _ in range(2):
        pid = start(server, vm)
        with Viewer(show(server, vm)["console"]) as viewer:
            viewer.until(b"VPCS> ")
            viewer.type("quit")
            viewer.until_closed()
        until(lambda: show(server, vm)["status"] == "stopped", "the VM to be stopped")
        assert not runs(pid)
        assert (directory(server, vm) / "vpcs.hist").exists()
    assert f"INFO labplane: vpcs 'PC' ({show(server, vm)['vm_id']}) ended by itself, with status 0." in server.log


def test_a_line_that_is_too_long_for_vpcs_stops_its_vm_alone(server: Server, vm: str, project: str) -> None:
    """S-7, Q-11: and the log says why."""
    neighbour = linked(server, project, name="neighbour")
    start(server, vm)
    start(server, neighbour)
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(b"VPCS> ")
        viewer.type("echo " + "x" * 250)
        viewer.until_closed()
    until(lambda: show(server, vm)["status"] == "stopped", "the VM to be stopped")
    assert f"ERROR labplane: vpcs 'PC' ({show(server, vm)['vm_id']}) ended by signal " in server.log
    assert show(server, neighbour)["status"] == "started"
    start(server, vm)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_stops_the_vm(server: Server, vm: str, number: int) -> None:
    """S-7: the console closes, the port is free, start works again."""
    pid = start(server, vm)
    console = show(server, vm)["console"]
    with Viewer(console) as viewer:
        viewer.until(b"VPCS> ")
        os.kill(pid, number)
        viewer.until_closed()
    until(lambda: show(server, vm)["status"] == "stopped", "the VM to be stopped")
    assert server.children() == []
    nothing(server.http.post(f"{vm}/stop"))
    assert udp_ports_of(start(server, vm)) == {server.udp[0]}


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/close"), ("DELETE", "")])
def test_no_process_outlives_its_project(server: Server, method: str, suffix: str) -> None:
    """S-8, P-12, P-13: and no socket of it either."""
    project = server.project()
    vms = [linked(server, project) for _ in range(3)]
    consoles = {show(server, vm)["console"] for vm in vms}
    pids = [start(server, vm) for vm in vms]
    nothing(server.http.request(method, project + suffix))
    assert not any(runs(pid) for pid in pids)
    assert not consoles & tcp_listeners_of(server.process.pid)
    for offset in range(3):
        with taken(server.udp[0] + offset, socket.SOCK_DGRAM):
            pass


def test_a_vm_can_be_deleted_while_it_starts(server: Server, project: str) -> None:
    """S-8, L-1: they queue up, and nothing is left."""
    for _ in range(5):
        vm = linked(server, project)
        with ThreadPoolExecutor() as threads:
            start = threads.submit(server.http.post, f"{vm}/start")
            nothing(server.http.delete(vm))
        assert start.result().status_code in (204, 404)
        assert server.children() == []
