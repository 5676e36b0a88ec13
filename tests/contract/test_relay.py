"""The relay socket of VPCS before 0.8 (Q-5, B-12): two VMs nine ports apart both work."""

import socket
import time
from pathlib import Path

import pytest

from expect import nothing, shown
from host import command_line, taken, udp_ports_of
from machines import after_the_attempt, linked, show, start, together
from support import Server, free_range, running, until

RELAY = 9


def neighbours(server: Server, project: str) -> tuple[str, str]:
    """Two VMs whose lports are nine apart."""
    first = server.udp[0] + 20
    return linked(server, project, first), linked(server, project, first + RELAY)


def both_up(server: Server, lower: str, upper: str) -> None:
    """Each VM has its own lport bound and no other."""
    nio = {lower: server.udp[0] + 20, upper: server.udp[0] + 20 + RELAY}
    ports = {show(server, vm)["command_line"]: nio[vm] for vm in (lower, upper)}
    pids = server.children()
    assert len(pids) == 2
    for pid in pids:
        assert udp_ports_of(pid) == {ports[" ".join(command_line(pid))]}


@pytest.mark.parametrize("upper_first", [False, True])
@pytest.mark.parametrize("pause", [0, 0.05, 0.12, 0.18, 0.25, 0.6])
def test_two_vms_nine_ports_apart_both_work(server: Server, project: str, upper_first: bool, pause: float) -> None:
    """Q-5, B-12: whichever comes first and whenever the other follows."""
    lower, upper = neighbours(server, project)
    order = (upper, lower) if upper_first else (lower, upper)
    nothing(server.http.post(f"{order[0]}/start"))
    time.sleep(pause)  # the moment within VPCS's first quarter of a second is what is varied here
    nothing(server.http.post(f"{order[1]}/start"))
    both_up(server, lower, upper)
    after_the_attempt(server)
    both_up(server, lower, upper)


def test_two_vms_nine_ports_apart_start_simultaneously(server: Server, project: str) -> None:
    """Q-5, B-12: and a third, that is nine ports above the second."""
    lower, upper = neighbours(server, project)
    third = linked(server, project, server.udp[0] + 20 + 2 * RELAY)
    vms = [lower, upper, third]
    for order in (vms, vms[::-1], [upper, lower, third]):
        assert together(server, [f"{vm}/start" for vm in order]) == [204] * 3
        after_the_attempt(server)
        assert sorted(sorted(udp_ports_of(pid)) for pid in server.children()) == [
            [server.udp[0] + 20 + n * RELAY] for n in range(3)
        ]
        assert together(server, [f"{vm}/stop" for vm in order]) == [204] * 3
        assert server.children() == []


@pytest.mark.parametrize("restarted", [0, 1])
@pytest.mark.parametrize("pause", [0, 0.12, 0.3])
def test_a_restart_beside_a_neighbour_nine_ports_apart_works(
    server: Server, project: str, restarted: int, pause: float
) -> None:
    """Q-5, B-12: by stop and start, and by reload."""
    pair = neighbours(server, project)
    for vm in pair:
        nothing(server.http.post(f"{vm}/start"))
    time.sleep(pause)  # as above
    nothing(server.http.post(f"{pair[restarted]}/stop"))
    nothing(server.http.post(f"{pair[restarted]}/start"))
    both_up(server, *pair)
    nothing(server.http.post(f"{pair[restarted]}/reload"))
    both_up(server, *pair)
    nothing(server.http.post(f"{pair[1 - restarted]}/reload"))
    after_the_attempt(server)
    both_up(server, *pair)


def test_the_relay_port_of_a_running_vm_can_be_allocated(tmp_path: Path) -> None:
    """Q-5, U-4, B-12: right after the start and later."""
    with running(tmp_path / "projects", udp=free_range(10, socket.SOCK_DGRAM)) as server:
        project = server.project()
        vm = linked(server, project)
        start(server, vm)
        numbers = [shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"] for _ in range(9)]
        assert numbers == [server.udp[0] + n for n in range(1, 10)]
        after_the_attempt(server)
        assert not _bindable(server.udp[0] + RELAY), "the port is not kept for who asked for it"
        nothing(server.http.delete(project))
        until(lambda: _bindable(server.udp[0] + RELAY), "the relay's port to be free on the host")


def _bindable(number: int) -> bool:
    try:
        with taken(number, socket.SOCK_DGRAM):
            return True
    except OSError:
        return False


def test_a_stranger_at_the_relay_port_is_in_nobodys_way(server: Server, vm: str) -> None:
    """Q-5."""
    with taken(server.udp[0] + RELAY, socket.SOCK_DGRAM):
        assert udp_ports_of(start(server, vm)) == {server.udp[0]}


def test_the_highest_port_has_no_room_for_a_relay(server: Server, project: str) -> None:
    """Q-5, U-6: 65535 + 9 is no port."""
    vm = linked(server, project, 65535)
    assert 65535 in udp_ports_of(start(server, vm))
