"""Section 3 of docs/api.md, as far as it shows with VPCS alone.

A VPCS that is suspended (SIGSTOP) does not stop, since SIGTERM stays pending: that is how a test makes a request hold
its VM's lock and sees that it does. SIGCONT lets it end; otherwise SIGKILL does after three seconds.
"""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from expect import nothing, refusal, shown
from host import runs, suspend, tcp_listeners_of
from support import Server, until
from wire import Wire

Calls = Callable[..., "Future[httpx2.Response]"]


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    project = server.project()
    yield project
    assert server.http.delete(project).status_code in (204, 404)
    assert server.children() == []


@pytest.fixture
def call(server: Server) -> Iterator[Calls]:
    """Sends a request from a thread of its own."""
    with ThreadPoolExecutor(60) as threads:
        yield lambda method, path, body=None: threads.submit(server.http.request, method, path, json=body)


def held(
    server: Server, project: str, call: Calls, method: str, suffix: str
) -> tuple[str, int, "Future[httpx2.Response]"]:
    """A VM on which that request works until it is resumed: its path, its pid and the reply to come."""
    vm = server.vm(project, "held")
    port = shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"]
    assert server.link(vm, port, 9).status_code == 201
    before = set(server.children())
    nothing(server.http.post(f"{vm}/start"))
    (pid,) = set(server.children()) - before
    suspend(pid)
    reply = call(method, vm + suffix)
    until(lambda: sigterm_is_pending(pid), "the request to hold the lock")
    return vm, pid, reply


def sigterm_is_pending(pid: int) -> bool:
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return bool((int(lines["ShdPnd"], 16) | int(lines["SigPnd"], 16)) & (1 << (signal.SIGTERM - 1)))


def test_requests_for_one_vm_queue_up_and_are_served(server: Server, project: str, call: Calls) -> None:
    """L-1, L-3: none is refused as busy; the start that waits for the stop brings the VM up again."""
    vm, pid, stop = held(server, project, call, "POST", "/stop")
    start, show, rename = call("POST", f"{vm}/start"), call("GET", vm), call("PUT", vm, {"name": "renamed"})
    with pytest.raises(TimeoutError):
        show.result(0.3)
    assert not start.done()
    assert not rename.done()
    assert not stop.done()
    os.kill(pid, signal.SIGCONT)
    nothing(stop.result())
    assert not runs(pid)
    nothing(start.result())
    shown(show.result())
    assert shown(rename.result())["name"] == "renamed"


def test_nobody_else_waits_for_a_vm_that_is_busy(server: Server, project: str, call: Calls) -> None:
    """L-2: neither another VM of the project nor what names no VM."""
    other = server.vm(project)
    _, pid, stop = held(server, project, call, "POST", "/stop")
    shown(server.http.get(other))
    shown(server.http.put(other, json={"name": "new"}))
    nothing(server.http.delete(other))
    assert len(shown(server.http.get(f"{project}/vpcs/vms"))) == 1
    shown(server.http.get("/v1/version"))
    shown(server.http.post(f"{project}/ports/udp"), 201)
    nothing(server.http.delete(server.vm(project)))
    assert not stop.done()
    os.kill(pid, signal.SIGCONT)
    nothing(stop.result())


def test_requests_queued_behind_a_delete_get_404(server: Server, project: str, call: Calls) -> None:
    """L-6."""
    vm, pid, delete = held(server, project, call, "DELETE", "")
    nio = {"type": "nio_udp", "lport": 9000, "rport": 9, "rhost": "127.0.0.1"}
    queued = [
        call("GET", vm),
        call("PUT", vm, {"name": "x"}),
        call("DELETE", vm),
        call("POST", f"{vm}/start"),
        call("POST", f"{vm}/stop"),
        call("POST", f"{vm}/reload"),
        call("POST", f"{vm}/adapters/0/ports/0/nio", nio),
        call("DELETE", f"{vm}/adapters/0/ports/0/nio"),
    ]
    with pytest.raises(TimeoutError):
        queued[-1].result(0.3)
    assert not any(reply.done() for reply in queued)
    os.kill(pid, signal.SIGCONT)
    nothing(delete.result())
    for reply in queued:
        refusal(reply.result(), 404)
    assert not runs(pid)
    other = server.vm(project)
    assert server.link(other, 9000, 9).status_code == 201


def test_a_vm_created_behind_its_delete_is_a_new_one(server: Server, project: str, call: Calls) -> None:
    """L-7: it is serialised on the id."""
    vm, pid, delete = held(server, project, call, "DELETE", "")
    create = call("POST", f"{project}/vpcs/vms", {"name": "again", "vm_id": vm.rpartition("/")[2]})
    with pytest.raises(TimeoutError):
        create.result(0.3)
    os.kill(pid, signal.SIGCONT)
    nothing(delete.result())
    again = shown(create.result(), 201)
    assert again["name"] == "again"
    assert again["status"] == "stopped"
    assert shown(server.http.get(vm)) == again
    assert not runs(pid)


def test_a_commit_waits_for_the_delete_before_it(server: Server, project: str, call: Calls) -> None:
    """L-7, P-11: else the directory would outlive it."""
    vm, pid, delete = held(server, project, call, "DELETE", "")
    directory = Path(shown(server.http.get(project))["path"]) / "project-files" / "vpcs" / vm.rpartition("/")[2]
    commit = call("POST", f"{project}/commit")
    with pytest.raises(TimeoutError):
        commit.result(0.3)
    assert directory.is_dir()
    os.kill(pid, signal.SIGCONT)
    nothing(delete.result())
    nothing(commit.result())
    assert not directory.exists()


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/close"), ("DELETE", "")])
def test_the_end_of_a_project_waits_for_its_vms(
    server: Server, project: str, call: Calls, method: str, suffix: str
) -> None:
    """L-7: and what queued up behind it gets 404."""
    vm, pid, stop = held(server, project, call, "POST", "/stop")
    end = call(method, project + suffix)
    with pytest.raises(TimeoutError):
        end.result(0.3)
    os.kill(pid, signal.SIGCONT)
    nothing(stop.result())
    nothing(end.result())
    assert not runs(pid)
    refusal(server.http.get(project), 404)
    refusal(server.http.post(f"{vm}/start"), 404)


def test_a_stalled_upload_holds_no_vm(server: Server, project: str) -> None:
    """L-5, B-4: the body is read before the lock is taken."""
    vm = server.vm(project)
    with Wire(server.port) as stalled, Wire(server.port) as chunked:
        stalled.head("PUT", vm, "Content-Length: 100")
        stalled.send(b'{"name": ')
        chunked.head("POST", f"{vm}/stop", "Transfer-Encoding: chunked")
        chunked.chunk(b"{")
        shown(server.http.put(vm, json={"name": "meanwhile"}))
        assert shown(server.http.get(vm))["name"] == "meanwhile"
        stalled.send(b'"late"' + b" " * 84 + b"}")
        assert stalled.reply().status == 200
        assert shown(server.http.get(vm))["name"] == "late"
        chunked.chunk(b"}")
        chunked.chunk(b"")
        assert chunked.reply().status == 204


def test_an_upload_that_ends_after_the_delete_gets_404(server: Server, project: str) -> None:
    """L-5, L-6."""
    vm = server.vm(project)
    with Wire(server.port) as stalled:
        stalled.head("PUT", vm, "Content-Length: 2")
        stalled.send(b"{")
        nothing(server.http.delete(vm))
        stalled.send(b"}")
        assert stalled.reply().status == 404


def test_clients_that_hang_up_leave_no_lock_behind(server: Server, project: str, call: Calls) -> None:
    """L-4, B-4: while they upload, while they wait, and while they are served."""
    vm, pid, stop = held(server, project, call, "POST", "/stop")
    for body in (b"{}", b""):
        for method, suffix in (("GET", ""), ("PUT", ""), ("POST", "/start"), ("POST", "/stop")):
            with Wire(server.port) as impatient:
                impatient.head(method, vm + suffix, "Content-Length: 2")
                impatient.send(body)
    os.kill(pid, signal.SIGCONT)
    nothing(stop.result())
    for _ in range(5):
        with Wire(server.port) as impatient:
            impatient.head("POST", f"{vm}/reload")
    assert shown(server.http.get(vm))["vm_id"] == vm.rpartition("/")[2]
    nothing(server.http.post(f"{vm}/stop"))
    assert shown(server.http.get(vm))["status"] == "stopped"


def test_one_vm_id_makes_one_vm_however_many_ask(server: Server, project: str, call: Calls) -> None:
    """L-7, M-6: all get the same one, and one console is used."""
    vm_id = str(uuid.uuid4())
    replies = [call("POST", f"{project}/vpcs/vms", {"name": str(n), "vm_id": vm_id}) for n in range(30)]
    made = [shown(reply.result(), 201) for reply in replies]
    assert all(one == made[0] for one in made)
    assert shown(server.http.get(f"{project}/vpcs/vms")) == [made[0]]
    assert shown(server.http.get(server.vm(project)))["console"] == made[0]["console"] + 1


def test_two_projects_that_want_one_vm_id_get_one_vm(server: Server, project: str, call: Calls) -> None:
    """L-7, B-5: one gets it, the other a conflict."""
    other, vm_id = server.project(), str(uuid.uuid4())
    replies = [call("POST", f"{owner}/vpcs/vms", {"name": "x", "vm_id": vm_id}) for owner in (project, other) * 5]
    statuses = [reply.result().status_code for reply in replies]
    assert sorted(statuses) == [201] * 5 + [409] * 5
    assert len(set(statuses[::2])) == len(set(statuses[1::2])) == 1
    nothing(server.http.delete(other))


def test_one_project_id_makes_one_project_however_many_ask(server: Server, call: Calls) -> None:
    """P-4."""
    project_id = str(uuid.uuid4())
    replies = [call("POST", "/v1/projects", {"name": str(n), "project_id": project_id}) for n in range(20)]
    made = [shown(reply.result(), 201) for reply in replies]
    assert all(one == made[0] for one in made)
    nothing(server.http.delete(f"/v1/projects/{project_id}"))


def test_vms_created_at_once_get_different_consoles(server: Server, project: str, call: Calls) -> None:
    """M-3, M-13, U-3: and different MAC ids, and ports."""
    made = [call("POST", f"{project}/vpcs/vms", {"name": "PC"}) for _ in range(30)]
    ports = [call("POST", f"{project}/ports/udp") for _ in range(20)]
    consoles = {shown(reply.result(), 201)["console"] for reply in made}
    assert consoles == set(range(server.consoles[0], server.consoles[0] + 30))
    assert {shown(reply.result(), 201)["udp_port"] for reply in ports} == set(range(server.udp[0], server.udp[0] + 20))


def test_a_project_that_closes_while_vms_are_created_leaves_nothing(server: Server, call: Calls) -> None:
    """L-7, P-12: each create comes before the end or gets 404."""
    for _ in range(5):
        project = server.project()
        creates = [call("POST", f"{project}/vpcs/vms", {"name": "PC", "startup_script": "show"}) for _ in range(10)]
        end = call("DELETE", project)
        creates += [call("POST", f"{project}/vpcs/vms", {"name": "PC"}) for _ in range(10)]
        nothing(end.result())
        assert {reply.result().status_code for reply in creates} <= {201, 404}
        refusal(server.http.get(project), 404)
    project = server.project()
    assert shown(server.http.get(server.vm(project)))["console"] == server.consoles[0]
    nothing(server.http.delete(project))


def test_a_client_may_fire_everything_at_once(server: Server, project: str, call: Calls) -> None:
    """L-3: each reply is one that fits some order; none says busy, none is a crash."""
    one, two = server.linked_pair(project)
    replies = []
    for round_ in range(3):
        for vm in (one, two):
            for method, suffix, body in (
                ("POST", "/start", {}),
                ("GET", "", None),
                ("PUT", "", {"name": f"PC{round_}"}),
                ("POST", "/reload", {}),
                ("POST", "/stop", {}),
                ("POST", "/start", {}),
            ):
                replies.append(call(method, vm + suffix, body))
        replies.append(call("GET", f"{project}/vpcs/vms"))
        replies.append(call("POST", f"{project}/commit"))
    assert {reply.result().status_code for reply in replies} == {200, 204}
    for vm in (one, two):
        nothing(server.http.post(f"{vm}/stop"))
    assert server.children() == []
    assert not set(range(server.consoles[0], server.consoles[1] + 1)) & tcp_listeners_of(server.process.pid)


def test_start_stop_and_delete_of_many_vms_at_once_leave_nothing(server: Server, call: Calls) -> None:
    """L-2, S-8."""
    project = server.project()
    vms = [vm for _ in range(3) for vm in server.linked_pair(project)]
    replies = [call("POST", f"{vm}/start") for vm in vms] + [call("DELETE", project)]
    assert {reply.result().status_code for reply in replies} <= {204, 404}
    assert server.children() == []
