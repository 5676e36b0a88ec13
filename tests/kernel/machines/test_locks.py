"""The lock of a VM (L-1 to L-7), over real HTTP, with a driver whose operations take time and keep a book."""

import asyncio
import random
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from labplane import VM, Conflict, remove_tree
from labplane_projects import plugin as projects_plugin
from slow import REFUSED, Lane, vm_id


def test_200_requests_at_once_never_meet_on_one_vm_yet_run_on_all_five_at_once_in_order_of_arrival(lane: Lane) -> None:
    """L-1, L-2, L-3. The first operation of each VM ends only when all five are under way."""
    vms = [lane.vm() for _ in range(5)]
    lane.driver.begun.clear()
    lane.driver.book.clear()
    lane.driver.together = 0
    lane.driver.pause = 0.001
    first: set[str] = set()
    everybody = asyncio.Event()
    working = lane.driver.working

    @asynccontextmanager
    async def met(vm: VM, what: str, note: Any = None) -> AsyncIterator[None]:
        async with working(vm, what, note):
            first.add(vm.id)
            if len(first) == len(vms):
                everybody.set()
            async with asyncio.timeout(20):
                await everybody.wait()
            yield

    lane.driver.working = met  # type: ignore[method-assign]
    dice = random.Random(20150227)  # noqa: S311
    nio = {"type": "nio_udp", "lport": 0, "rport": 1, "rhost": "127.0.0.1"}

    async def one(client: httpx2.AsyncClient, number: int) -> int:
        vm = dice.choice(vms)
        what = dice.choice(["put", "put", "put", "get", "start", "stop", "reload", "plug", "unplug"])
        port = f"{vm}/adapters/0/ports/0/nio"
        if what == "put":
            reply = await client.put(vm, json={"tag": number})
        elif what == "get":
            reply = await client.get(vm)
        elif what == "plug":
            reply = await client.post(port, json={**nio, "lport": 33000 + vms.index(vm)})
        elif what == "unplug":
            reply = await client.delete(port)
        else:
            reply = await client.post(f"{vm}/{what}", json={})
        return reply.status_code

    async def fire() -> list[int]:
        limits = httpx2.Limits(max_connections=200)
        async with httpx2.AsyncClient(base_url=lane.served.url, timeout=30, limits=limits, trust_env=False) as client:
            return await asyncio.gather(*(one(client, number) for number in range(200)))

    assert set(asyncio.run(fire())) <= {200, 201, 204}
    assert lane.driver.together == 5
    for vm in vms:
        arrived = [tag for path, tag in lane.arrivals.seen if path == vm and tag is not None]
        served = [note for vm_, what, note in lane.driver.book if (vm_, what) == (vm_id(vm), "configure")]
        assert served == arrived
        assert len(served) > 5


def test_requests_for_one_vm_are_served_in_order_of_arrival(lane: Lane) -> None:
    """L-1, without luck: each is in the queue before the next is sent."""
    vm = lane.vm()
    let_go = lane.hold("start")
    replies = [lane.send("POST", f"{vm}/start")]
    lane.until_begun(vm, "start")
    for tag in range(10):
        replies.append(lane.send("PUT", vm, json={"tag": tag}))
        lane.until_waiting(vm, tag + 1)
    let_go()
    assert [reply.result(20).status_code for reply in replies] == [204] + [200] * 10
    assert [note for _, what, note in lane.driver.book if what == "configure"] == [None, *range(10)]


def test_requests_that_name_no_vm_or_another_one_do_not_wait(lane: Lane) -> None:
    """L-2."""
    held, other = lane.vm(), lane.vm()
    let_go = lane.hold("start")
    start = lane.send("POST", f"{held}/start")
    lane.until_begun(held, "start")
    assert lane.served.http.get("/v1/version").status_code == 200
    assert lane.served.http.get(lane.project).status_code == 200
    assert lane.served.http.put(other, json={"tag": 1}).status_code == 200
    assert lane.vm()
    let_go()
    assert start.result(20).status_code == 204


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Conflict("The cat sits on it."), 409, "The cat sits on it."),
        (
            ValueError("a secret"),
            500,
            "The plugin testing (labplane-testing 0.1) failed at start of slow 'A' ({vm_id}); "
            "the server's log says why.",
        ),
    ],
    ids=["refused", "crashed"],
)
def test_the_lock_is_released_after_an_error(error: Exception, status: int, message: str, lane: Lane) -> None:
    """L-4, B-16."""
    vm = lane.vm()
    lane.driver.fails["start"] = error
    reply = lane.served.http.post(f"{vm}/start")
    said = message.replace("{vm_id}", vm_id(vm))
    assert (reply.status_code, reply.json()) == (status, {"status": status, "message": said})
    assert lane.served.http.get(vm).json()["status"] == "stopped"
    del lane.driver.fails["start"]
    assert lane.served.http.post(f"{vm}/start").status_code == 204


def test_an_operation_that_has_begun_is_finished_although_its_client_hung_up(lane: Lane) -> None:
    """L-4; and the one that waits behind it is served."""
    vm = lane.vm()
    let_go = lane.hold("start")
    with socket.create_connection(("127.0.0.1", lane.served.port)) as client:
        client.sendall(f"POST {vm}/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        lane.until_begun(vm, "start")
    reply = lane.send("GET", vm)
    lane.until_waiting(vm, 1)
    let_go()
    assert reply.result(20).json()["status"] == "started"


def test_a_client_that_hangs_up_in_the_queue_holds_nobody_up(lane: Lane) -> None:
    """L-4."""
    vm = lane.vm()
    let_go = lane.hold("start")
    start = lane.send("POST", f"{vm}/start")
    lane.until_begun(vm, "start")
    with socket.create_connection(("127.0.0.1", lane.served.port)) as client:
        client.sendall(f"POST {vm}/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        lane.until_waiting(vm, 1)
    reply = lane.send("PUT", vm, json={"tag": 7})
    lane.until_waiting(vm, 2)
    let_go()
    assert start.result(20).status_code == 204
    assert reply.result(20).status_code == 200


@pytest.mark.parametrize("headers", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_stalled_upload_holds_nobody_and_changes_nothing(headers: str, lane: Lane) -> None:
    """L-5."""
    vm = lane.vm()
    configured = len(lane.driver.book)
    with socket.create_connection(("127.0.0.1", lane.served.port)) as client:
        client.sendall(f'PUT {vm} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n5\r\n{{"tag'.encode())
        assert lane.served.http.post(f"{vm}/start").status_code == 204
        assert lane.served.http.get(vm).json()["status"] == "started"
    assert lane.served.http.delete(vm).status_code == 204
    assert "configure" not in [what for _, what, _ in lane.driver.book[configured:]]


def test_requests_queued_behind_a_delete_get_404(lane: Lane) -> None:
    """L-6."""
    vm = lane.vm()
    let_go = lane.hold("removed")
    deletion = lane.send("DELETE", vm)
    lane.until_begun(vm, "removed")
    behind = []
    for count, (method, path) in enumerate([("GET", ""), ("PUT", ""), ("POST", "/start"), ("DELETE", "")], 1):
        behind.append(lane.send(method, vm + path))
        lane.until_waiting(vm, count)
    let_go()
    assert deletion.result(20).status_code == 204
    for reply in behind:
        assert reply.result(20).status_code == 404
        assert "was deleted meanwhile" in reply.result().json()["message"]
    assert "start" not in [what for _, what, _ in lane.driver.book]


@pytest.mark.parametrize(("method", "action"), [("POST", "/close"), ("DELETE", ""), ("POST", "/commit")])
def test_close_delete_and_commit_of_a_project_wait_for_its_vms(method: str, action: str, lane: Lane) -> None:
    """L-7."""
    vm = lane.vm()
    let_go = lane.hold("start")
    start = lane.send("POST", f"{vm}/start")
    lane.until_begun(vm, "start")
    operation = lane.send(method, lane.project + action)
    lane.until_waiting(vm, 1)
    assert not operation.done()
    let_go()
    assert start.result(20).status_code == 204
    assert operation.result(20).status_code == 204
    done = [what for _, what, _ in lane.driver.book if what != "show"]
    assert done == ["configure", "start", *([] if action == "/commit" else ["stop", "removed"])]


def test_a_project_that_is_being_closed_takes_no_new_vm(lane: Lane) -> None:
    vm = lane.vm()
    let_go = lane.hold("removed")
    closing = lane.send("POST", f"{lane.project}/close")
    lane.until_begun(vm, "removed")
    reply = lane.served.http.post(f"{lane.project}/slow/vms", json={"name": "late"})
    assert reply.status_code == 404
    let_go()
    assert closing.result(20).status_code == 204
    assert len(lane.served.lab.vms) == 0


def test_a_project_whose_files_are_being_deleted_takes_no_new_vm(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or that VM would outlive its project, with nobody to end it."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly(path: Path) -> None:
        begun.set()
        assert go_on.wait(20)
        remove_tree(path)

    monkeypatch.setattr(projects_plugin, "remove_tree", slowly)
    deletion = lane.send("DELETE", lane.project)
    assert begun.wait(20)
    reply = lane.served.http.post(f"{lane.project}/slow/vms", json={"name": "late"})
    go_on.set()
    assert deletion.result(20).status_code == 204
    assert reply.status_code == 404
    assert len(lane.served.lab.vms) == 0


def test_creations_that_wait_for_a_vm_of_a_project_that_closes_get_404_and_leave_nothing(lane: Lane) -> None:
    """Many of them: each wakes a turn of the loop later than the one before, when the project is gone for good."""
    vm = lane.vm()
    let_go = lane.hold("removed")
    deletion = lane.send("DELETE", lane.project)
    lane.until_begun(vm, "removed")
    body = {"name": "again", "vm_id": vm_id(vm)}
    late = []
    for count in range(8):
        late.append(lane.send("POST", f"{lane.project}/slow/vms", json=body))
        lane.until_waiting(vm, count + 1)
    let_go()
    assert deletion.result(20).status_code == 204
    assert {reply.result(20).status_code for reply in late} == {404}
    assert len(lane.served.lab.vms) == 0
    assert not (lane.served.lab.settings.projects_path / lane.project.rsplit("/", 1)[1]).exists()


def test_creations_with_one_vm_id_are_serialised_and_give_one_vm(lane: Lane) -> None:
    """L-7, M-6."""
    let_go = lane.hold("configure")
    given = "00010203-0405-0607-0809-0A0B0C0D0E0F"
    path = f"{lane.project}/slow/vms/{given.lower()}"
    replies = [lane.send("POST", f"{lane.project}/slow/vms", json={"name": "A", "vm_id": given})]
    lane.until_begun(path, "configure")
    assert lane.served.http.get(f"{lane.project}/slow/vms").json() == []
    replies.append(lane.send("POST", f"{lane.project}/slow/vms", json={"name": "B", "vm_id": given.lower()}))
    lane.until_waiting(path, 1)
    let_go()
    assert [reply.result(20).status_code for reply in replies] == [201, 201]
    assert [reply.result().json()["name"] for reply in replies] == ["A", "A"]
    assert [what for _, what, _ in lane.driver.book].count("configure") == 1


def test_a_creation_that_waits_for_one_that_fails_makes_the_vm_itself(lane: Lane) -> None:
    given = "00010203-0405-0607-0809-0a0b0c0d0e0f"
    path = f"{lane.project}/slow/vms/{given}"
    let_go = lane.hold("configure")
    first = lane.send("POST", f"{lane.project}/slow/vms", json={"name": "A", "vm_id": given, "tag": REFUSED})
    lane.until_begun(path, "configure")
    second = lane.send("POST", f"{lane.project}/slow/vms", json={"name": "B", "vm_id": given})
    show = lane.send("GET", path)
    lane.until_waiting(path, 2)
    let_go()
    assert first.result(20).status_code == 409
    assert (second.result(20).status_code, second.result().json()["name"]) == (201, "B")
    assert show.result(20).status_code == 404, "it asked for the VM that failed"


def test_a_list_of_vms_waits_for_none_of_them(lane: Lane) -> None:
    """L-2."""
    vm = lane.vm()
    let_go = lane.hold("start")
    start = lane.send("POST", f"{vm}/start")
    lane.until_begun(vm, "start")
    [shown] = lane.served.http.get(f"{lane.project}/slow/vms").json()
    assert shown["status"] == "stopped"
    assert lane.driver.collisions.pop().startswith("show of ")  # the one call that the contract exempts
    let_go()
    assert start.result(20).status_code == 204
