"""Section 17 of docs/api.md: events of real VPCS, as those who listen to a project get them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from expect import nothing, refusal, shown
from greedy import connections
from listening import Listener
from machines import linked, show, start
from support import Server, running, until
from wire import Wire


def notifications(server: Server, project: str) -> Listener:
    return Listener(server.port, f"{project}/notifications")


@pytest.fixture
def listener(server: Server, project: str) -> Iterator[Listener]:
    """Somebody who listens to the project."""
    with notifications(server, project) as listener:
        yield listener


def test_the_head_of_the_stream_is_what_gui_1_5_wants(listener: Listener) -> None:
    """W-1, T-5."""
    assert listener.response.status == 200
    assert listener.response.getheader("content-type") == "application/json"
    assert listener.response.getheader("transfer-encoding") == "chunked"
    assert listener.response.getheader("content-length") is None


def test_a_ping_with_the_load_of_the_host_comes_at_once(listener: Listener) -> None:
    """W-2."""
    ping = listener.next()
    assert ping
    assert ping.keys() == {"action", "event"}
    assert ping["action"] == "ping"
    assert ping["event"].keys() == {"cpu_usage_percent", "memory_usage_percent"}
    assert 0 <= ping["event"]["cpu_usage_percent"] <= 100
    assert 0 < ping["event"]["memory_usage_percent"] <= 100


def test_pings_come_for_as_long_as_it_is_quiet(tmp_path: Path) -> None:
    """W-2: as often as the plugin's setting says."""
    config = tmp_path / "labplane.toml"
    config.write_text("[plugins.events]\nping_seconds = 0.05\n")
    with (
        running(tmp_path / "projects", "--config", str(config)) as server,
        notifications(server, server.project()) as listener,
    ):
        assert [one and one["action"] for one in (listener.next() for _ in range(5))] == ["ping"] * 5


def test_a_quiet_listener_is_no_stalled_client(tmp_path: Path) -> None:
    """W-2: it has said all that it has to say, and reads what there is."""
    config = tmp_path / "labplane.toml"
    config.write_text("head_seconds = 1\nstall_seconds = 1\n[plugins.events]\nping_seconds = 2\n")
    with (
        running(tmp_path / "projects", "--config", str(config)) as server,
        notifications(server, server.project()) as listener,
    ):
        assert [one and one["action"] for one in (listener.next() for _ in range(3))] == ["ping"] * 3


def test_the_life_of_a_vm_is_told_in_order_with_the_vm_as_it_is(
    server: Server, project: str, listener: Listener
) -> None:
    """W-3, W-4."""
    vm = linked(server, project)
    created, nio = show(server, vm), shown(server.http.get(f"{vm}/adapters/0/ports/0/nio"))
    start(server, vm)
    started = show(server, vm)
    nothing(server.http.post(f"{vm}/stop"))
    stopped = show(server, vm)
    nothing(server.http.delete(vm))
    assert started["status"] == "started"
    assert listener.events(5) == [
        ("vm.created", created),
        ("link.plugged", {"vm_id": created["vm_id"], "adapter": 0, "port": 0, "nio": nio}),
        ("vm.started", started),
        ("vm.stopped", stopped),
        ("vm.deleted", stopped),
    ]


def test_what_changes_nothing_is_not_told(server: Server, project: str, listener: Listener) -> None:
    """W-3: the VM exists already, runs already, is stopped already."""
    vm = linked(server, project)
    again = {"name": "PC", "vm_id": vm.rsplit("/", 1)[1]}
    assert server.http.post(f"{project}/vpcs/vms", json=again).status_code == 201
    for action in ("stop", "start", "start", "stop", "stop"):
        nothing(server.http.post(f"{vm}/{action}"))
    nothing(server.http.post(f"{project}/close"))
    told = ["vm.created", "link.plugged", "vm.started", "vm.stopped", "vm.deleted"]
    assert [action for action, _ in listener.rest()] == told


def test_a_reload_is_a_stop_and_a_start(server: Server, project: str, vm: str, listener: Listener) -> None:
    """W-3."""
    nothing(server.http.post(f"{vm}/reload"))
    nothing(server.http.post(f"{vm}/reload"))
    assert [action for action, _ in listener.events(3)] == ["vm.started", "vm.stopped", "vm.started"]


def test_a_process_that_is_killed_by_hand_is_told_of(server: Server, vm: str, listener: Listener) -> None:
    """W-3, W-5, S-7."""
    os.kill(start(server, vm), signal.SIGKILL)
    (_, _), (complaint, said), (action, event) = listener.events(3)
    assert complaint == "log.error"
    assert "ended by signal 9" in said["message"]
    assert "'PC'" in said["message"]
    assert (action, event) == ("vm.stopped", show(server, vm))
    assert event["status"] == "stopped"


def test_a_start_that_failed_is_told_as_a_stop(server: Server, project: str, listener: Listener) -> None:
    """W-3, S-1: without a link."""
    vm = server.vm(project)
    refusal(server.http.post(f"{vm}/start"), 409)
    refusal(server.http.post(f"{vm}/reload"), 409)
    assert listener.events(3)[1:] == [("vm.stopped", show(server, vm))] * 2


def test_all_who_listen_hear_the_same_and_other_projects_nothing(
    server: Server, project: str, listener: Listener
) -> None:
    """W-1."""
    other = server.project()
    with notifications(server, project) as second, notifications(server, other) as elsewhere:
        server.vm(project)
        nothing(server.http.delete(other))
        assert listener.events(1) == second.events(1)
        assert elsewhere.rest() == []


@pytest.mark.parametrize("how", ["close", "delete"])
def test_the_end_of_a_project_ends_its_streams_after_the_last_event(server: Server, how: str) -> None:
    """W-6, P-12, P-13: however many listen."""
    project = server.project()
    vm = linked(server, project)
    start(server, vm)
    with notifications(server, project) as one, notifications(server, project) as two:
        nothing(server.http.post(f"{project}/close") if how == "close" else server.http.delete(project))
        for listener in (one, two):
            assert [action for action, _ in listener.rest()] == ["vm.stopped", "vm.deleted"]
    refusal(server.http.get(project), 404)


def test_what_is_wrong_with_a_request_is_said_before_a_stream_begins(server: Server, project: str) -> None:
    """E-3, T-4."""
    nowhere = "/v1/projects/00000000-0000-0000-0000-00000000000a/notifications"
    refusal(server.http.get(nowhere), 404)
    refusal(server.http.get("/v1/projects/x/notifications"), 400)
    refusal(server.http.post(f"{project}/notifications"), 405)
    refusal(server.http.request("GET", f"{project}/notifications", content=b"no JSON"), 400)
    refusal(server.http.request("GET", nowhere, content=b"no JSON"), 400)


def test_a_body_that_comes_in_pieces_is_read_before_the_stream_begins(server: Server, project: str, wire: Wire) -> None:
    """T-3."""
    wire.head("GET", f"{project}/notifications", "Content-Length: 2")
    wire.send(b"{")
    wire.send(b"}")
    assert b"ping" in wire.socket.recv(4096) + wire.socket.recv(4096)


def test_head_gets_the_head(wire: Wire, project: str) -> None:
    """T-9."""
    for path in (f"{project}/notifications", "/v1/events"):
        wire.head("HEAD", path)
        assert wire.reply("HEAD").status == 200


def test_a_listener_that_vanishes_leaves_nothing_behind(server: Server, project: str) -> None:
    """W-7: nor is the next one the worse for it."""
    server.http.get(project)
    before = connections(server)
    for _ in range(5):
        with notifications(server, project) as gone:
            gone.next()
    until(lambda: connections(server) == before, "the sockets to be closed")
    with notifications(server, project) as next_one:
        server.vm(project)
        assert [action for action, _ in next_one.events(1)] == ["vm.created"]


def test_a_listener_that_does_not_read_holds_nobody_up_and_is_dropped(server: Server, project: str) -> None:
    """W-7: its stream ends where events would be missing."""
    vm = server.vm(project, startup_script="#" * 1024 * 1024)
    rounds = 20
    with notifications(server, project) as slow, notifications(server, project) as quick:
        for _ in range(rounds):
            refusal(server.http.post(f"{vm}/start"), 409)
            assert [action for action, _ in quick.events(1)] == ["vm.stopped"]
        assert 0 < len(slow.rest()) < rounds
        refusal(server.http.post(f"{vm}/start"), 409)
        assert [action for action, _ in quick.events(1)] == ["vm.stopped"]
