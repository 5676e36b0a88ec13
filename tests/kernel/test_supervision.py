"""Isolation at run time: what a plugin does wrong is put down to it, and hurts nobody else."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inprocess import Served, offering, serving, settings
from labplane import VM, Conflict, Driver, Lab, Plugin, Request, Route, hook, supervision
from labplane.errors import Fault
from labplane.events import Events
from labplane.kernel import Kernel
from labplane.plugins.loading import Candidate
from labplane.reports import Report
from support import until


class Wild(Driver):
    """Does in its methods whatever a test has put there, by the method's name."""

    kind = "wild"
    console = False

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.does: dict[str, Callable[[], Any]] = {}
        self.cleaned = False

    async def act(self, method: str) -> None:
        if method in self.does:
            done = self.does[method]()
            if asyncio.iscoroutine(done):
                await done

    async def show(self, vm: VM) -> Any:
        await self.act("show")
        return {}

    async def start(self, vm: VM) -> None:
        await self.act("start")

    async def stop(self, vm: VM) -> None:
        await self.act("stop")

    async def removed(self, vm: VM) -> None:
        await self.act("removed")

    def adapters(self, vm: VM) -> tuple[int, ...]:
        if "adapters" in self.does:
            self.does["adapters"]()
        return (1,)

    async def sleep_long(self) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            self.cleaned = True

    async def sleep_on(self) -> None:
        """Will not be cancelled."""
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.cleaned = True


class Routes(Plugin):
    @hook
    def routes(self) -> Iterable[Route]:
        return [
            Route("GET", "/v1/wild/raise", self.crash),
            Route("GET", "/v1/wild/raise/later", self.crash_later),
            Route("GET", "/v1/wild/refuse", self.refuse),
            Route("GET", "/v1/wild/block", self.block),
        ]

    def crash(self, _: Request) -> Any:
        raise KeyError("a secret")

    async def crash_later(self, _: Request) -> Any:
        await asyncio.sleep(0)
        raise KeyError("a secret")

    def refuse(self, _: Request) -> Any:
        raise Conflict("Not now.")

    def block(self, _: Request) -> Any:
        time.sleep(0.15)
        return {}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A lab with the wild driver and the wild routes, whose calls may take a second."""
    monkeypatch.setattr(supervision, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(supervision, "WATCH_SECONDS", 0.2)
    routes = Candidate("routes", lambda: Routes, "labplane-wild", "2.0")
    with serving(tmp_path, [offering(Wild), routes], driver_seconds=1) as served:
        yield served


@pytest.fixture
def wild(served: Served) -> Wild:
    driver = served.lab.drivers["wild"]
    assert isinstance(driver, Wild)
    return driver


@pytest.fixture
def vm(served: Served) -> str:
    return served.vm(served.project(), "wild")


def report(served: Served, name: str = "testing") -> dict[str, Any]:
    reports = served.http.get("/v1/plugins").json()
    return next(one for one in reports if one["name"] == name)


def bug() -> None:
    raise KeyError("a secret")


@pytest.mark.parametrize("method", ["start", "show", "adapters"])
def test_a_method_that_raises_is_told_with_the_plugins_name_and_leaves_all_as_it_was(
    method: str, served: Served, wild: Wild, vm: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = served.http.get(vm).json()
    wild.does[method] = bug
    ask = {
        "start": lambda: served.http.post(f"{vm}/start"),
        "show": lambda: served.http.get(vm),
        "adapters": lambda: served.http.delete(f"{vm}/adapters/0/ports/0/nio"),
    }
    reply = ask[method]()
    assert reply.status_code == 500
    assert reply.json() == {
        "status": 500,
        "message": f"The plugin testing (labplane-testing 0.1) failed at {method} of wild 'A' ({before['vm_id']}); "
        "the server's log says why.",
    }
    del wild.does[method]
    assert served.http.get(vm).json() == before
    told = report(served)
    assert told["faults"] == 1
    assert told["last_fault"] == f"{method} of wild 'A' ({before['vm_id']}): KeyError: 'a secret'"
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert served.http.post(f"{vm}/start").status_code == 204


def test_a_cancellation_that_nobody_asked_for_is_the_plugins_fault(served: Served, wild: Wild, vm: str) -> None:
    def cancelled() -> None:
        raise asyncio.CancelledError

    wild.does["start"] = cancelled
    assert served.http.post(f"{vm}/start").status_code == 500
    assert report(served)["last_fault"].endswith(": CancelledError")


def test_a_vm_that_cannot_be_shown_is_not_created(served: Served, wild: Wild) -> None:
    project = served.project()
    wild.does["show"] = bug
    assert served.http.post(f"{project}/wild/vms", json={"name": "A"}).status_code == 500
    del wild.does["show"]
    assert served.http.get(f"{project}/wild/vms").json() == []
    directory = Path(served.http.get(project).json()["path"]) / "project-files" / "wild"
    assert list(directory.iterdir()) == []


def test_a_removal_is_finished_whatever_the_driver_raises(served: Served, wild: Wild, vm: str) -> None:
    assert served.http.post(f"{vm}/start").status_code == 204
    wild.does |= {"stop": bug, "removed": bug}
    assert served.http.delete(vm).status_code == 204
    assert served.http.get(vm).status_code == 404
    assert report(served)["faults"] == 2


def test_what_a_driver_refuses_is_no_fault(served: Served, wild: Wild, vm: str) -> None:
    def refuse() -> None:
        raise Conflict("Not now.")

    wild.does["start"] = refuse
    assert served.http.post(f"{vm}/start").json() == {"status": 409, "message": "Not now."}
    assert served.http.get("/v1/wild/refuse").status_code == 409
    assert (report(served)["faults"], report(served, "routes")["faults"]) == (0, 0)


@pytest.mark.parametrize("path", ["/v1/wild/raise", "/v1/wild/raise/later"])
def test_an_endpoint_that_raises_is_told_with_the_plugins_name(path: str, served: Served) -> None:
    reply = served.http.get(path)
    assert reply.status_code == 500
    assert reply.json()["message"] == (
        f"The plugin routes (labplane-wild 2.0) failed at GET {path}; the server's log says why."
    )
    assert report(served, "routes")["last_fault"] == f"GET {path}: KeyError: 'a secret'"


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_method_that_never_returns_is_cancelled_and_the_lock_let_go(
    stubborn: bool, served: Served, wild: Wild, vm: str
) -> None:
    """Even if it will not be cancelled."""
    wild.does["start"] = wild.sleep_on if stubborn else wild.sleep_long
    reply = served.http.post(f"{vm}/start")
    assert reply.status_code == 500
    assert "did not end start of wild 'A'" in reply.json()["message"]
    assert "within 1 seconds; it was cancelled" in reply.json()["message"]
    assert wild.cleaned
    assert served.http.get(vm).json()["status"] == "stopped"
    wild.does.clear()
    assert served.http.post(f"{vm}/start").status_code == 204
    assert report(served)["faults"] == 1


def test_a_timeout_of_the_drivers_own_is_no_cancellation(served: Served, wild: Wild, vm: str) -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(3600)

    wild.does["start"] = impatient
    reply = served.http.post(f"{vm}/start")
    assert (reply.status_code, "failed at start" in reply.json()["message"]) == (500, True)


def test_who_blocks_the_server_is_named_when_it_is_over(
    served: Served, wild: Wild, vm: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def block() -> None:
        await asyncio.sleep(0)
        time.sleep(0.15)

    wild.does["start"] = block
    assert served.http.post(f"{vm}/start").status_code == 204
    assert served.http.get("/v1/wild/block").status_code == 200
    blamed = [record.getMessage() for record in caplog.records if "blocked the server" in record.getMessage()]
    assert len(blamed) == 2
    assert blamed[0].startswith("plugin testing (labplane-testing 0.1): start of wild 'A'")
    assert blamed[1].startswith("plugin routes (labplane-wild 2.0): GET /v1/wild/block blocked the server for 1")
    assert (report(served)["faults"], report(served, "routes")["faults"]) == (1, 1)


def test_who_is_blocking_the_server_is_named_meanwhile_with_the_line(
    served: Served, wild: Wild, vm: str, caplog: pytest.LogCaptureFixture
) -> None:
    free = threading.Event()

    def block() -> None:
        free.wait(20)

    def told() -> bool:
        return any("is blocking the server" in record.getMessage() for record in caplog.records)

    wild.does["start"] = block
    try:
        asking = threading.Thread(target=served.http.post, args=[f"{vm}/start"])
        asking.start()
        until(told, "a word in the log about who is blocking")
    finally:
        free.set()
        asking.join(20)
    [said] = [record.getMessage() for record in caplog.records if "is blocking the server" in record.getMessage()]
    assert said.startswith("plugin testing (labplane-testing 0.1): start of wild 'A'")
    assert "free.wait(20)" in said


def test_a_step_is_not_blamed_for_what_a_step_within_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 3.05])
    monkeypatch.setattr("labplane.supervision.time.perf_counter", lambda: next(clock))
    supervisor = supervision.Supervisor(lambda: 1.0, Events())
    outer, inner = (Report(name, "active", "labplane-x", "1", "labplane.v1") for name in ("outer", "inner"))
    with supervisor.step(outer, "waiting"), supervisor.step(inner, "working"):
        pass
    assert inner.last_fault == "working: blocked the server for 2000 ms"
    assert outer.last_fault == "waiting: blocked the server for 1050 ms"


class Starter(Plugin):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.lab.at_start(self.begin)
        self.lab.at_end(self.begin)

    async def begin(self) -> None:
        raise OSError("no licence")


def test_a_third_party_that_fails_at_the_start_of_the_server_does_not_hold_it_up(tmp_path: Path) -> None:
    starter = Candidate("starter", lambda: Starter, "labplane-starter", "1")
    with serving(tmp_path, [starter]) as served:
        told = report(served, "starter")
    assert (told["state"], told["faults"]) == ("active", 1)
    assert told["last_fault"] == "its starter: OSError: no licence"


@pytest.mark.parametrize(("distribution", "strict"), [("labplane-starter", True), ("labplane", False)])
def test_in_a_strict_server_or_of_labplane_itself_it_does(distribution: str, strict: bool, tmp_path: Path) -> None:
    starter = Candidate("starter", lambda: Starter, distribution, "1")

    async def main() -> None:
        lab = Kernel(settings(tmp_path, strict=strict), [starter])
        with pytest.raises(Fault, match="failed at its starter"):
            await lab.start()
        await lab.end()

    asyncio.run(main())
