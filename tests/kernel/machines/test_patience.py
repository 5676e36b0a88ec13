"""Time: how long a VM is left for a graceful end, and work that takes longer than a driver may but shows progress."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from inprocess import Served, offering, serving
from labplane import VM, Driver, ProcessDriver
from labplane.testing import Viewer
from support import until

SLOW_TO_END = """
import signal, sys, time
def end(*_):
    time.sleep(float(sys.argv[1]))
    open("ended", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True:
    time.sleep(60)
"""


class Guest(ProcessDriver):
    """Takes a while to end, and has a directory in which it says that it did."""

    kind = "guest"
    takes: ClassVar[float] = 0.5
    grants: ClassVar[float] = 20.0

    def command(self, vm: VM) -> Sequence[str]:
        return [sys.executable, "-I", "-S", "-c", SLOW_TO_END, str(self.takes)]

    def patience(self, vm: VM) -> float:
        return self.grants


class Impatient(Guest):
    """Would take for ever."""

    kind = "impatient"
    takes = 3600.0
    grants = 0.2


class Broken(Guest):
    """Does not know how long."""

    kind = "broken"

    def patience(self, vm: VM) -> float:
        raise RuntimeError


class Worker(Driver):
    """Works as long as the test lets it."""

    kind = "worker"
    console = False
    works: ClassVar[Callable[[VM], Any] | None] = None

    async def start(self, vm: VM) -> None:
        if (works := type(self).works) is not None:
            await works(vm)

    async def stop(self, vm: VM) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [offering(Guest, Impatient, Broken, Worker)], driver_seconds=1) as served:
        yield served


def started(served: Served, project: str, kind: str) -> Path:
    """Start a VM whose program has installed its handler; its path and the file in which it says that it ended."""
    vm = served.vm(project, kind)
    assert served.http.post(f"{vm}/start").status_code == 204
    shown = served.http.get(vm).json()
    with Viewer(shown["console"]) as viewer:
        viewer.until(b"up")
    return Path(shown["vm_directory"]) / "ended"


def path_of(served: Served, ended: Path) -> str:
    vm = served.lab.vms.get(ended.parent.name)
    assert vm is not None
    return f"/v1/projects/{vm.project_id}/{vm.driver.kind}/vms/{vm.id}"


@pytest.mark.parametrize("way", ["stop", "delete", "close"])
def test_a_vm_has_as_long_for_its_end_as_its_driver_says(
    way: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than the time that any other call of the driver may take."""
    monkeypatch.setattr(Guest, "takes", 3.5)  # than by default, and than driver_seconds
    project = served.project()
    ended = started(served, project, "guest")
    vm = path_of(served, ended)
    request = {"stop": ("POST", f"{vm}/stop"), "delete": ("DELETE", vm), "close": ("POST", f"{project}/close")}[way]
    assert served.http.request(*request).status_code == 204
    assert ended.exists()


def test_the_end_of_the_server_waits_as_long_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labplane.kernel.SHUTDOWN_SECONDS", 0.5)
    monkeypatch.setattr(Guest, "takes", 1.5)
    with serving(tmp_path, [offering(Guest)], driver_seconds=1) as served:
        files = [started(served, served.project(), "guest") for _ in range(2)]
    assert all(file.exists() for file in files)


def test_after_its_time_it_is_killed(served: Served) -> None:
    ended = started(served, served.project(), "impatient")
    assert served.http.post(f"{path_of(served, ended)}/stop").status_code == 204
    assert served.http.get(path_of(served, ended)).json()["status"] == "stopped"
    assert not ended.exists()


def test_the_settings_bound_the_patience_of_drivers(tmp_path: Path) -> None:
    with serving(tmp_path, [offering(Guest)], max_patience=1) as served:
        ended = started(served, served.project(), "guest")
        vm = served.lab.vms.get(ended.parent.name)
        assert vm is not None
        assert vm.patience == 1.0
        assert served.http.post(f"{path_of(served, ended)}/stop").status_code == 204


def test_a_driver_that_fails_to_say_it_ends_its_vms_all_the_same(served: Served) -> None:
    ended = started(served, served.project(), "broken")
    assert served.http.post(f"{path_of(served, ended)}/stop").status_code == 204
    assert ended.exists()


def test_work_that_shows_progress_is_not_cancelled(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def copies(vm: VM) -> None:
        for percent in range(0, 100, 8):
            vm.progress(percent / 100, "The image is being copied.")
            await asyncio.sleep(0.2)

    monkeypatch.setattr(Worker, "works", copies)
    vm = served.vm(served.project(), "worker")
    began = time.monotonic()
    assert served.http.post(f"{vm}/start").status_code == 204
    assert time.monotonic() - began > 2 * served.lab.settings.driver_seconds


def test_work_that_shows_progress_in_a_task_of_its_own_is_not_cancelled(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def copies(vm: VM) -> None:
        async def tell() -> None:
            for percent in range(0, 100, 10):
                vm.progress(percent / 100, "The image is being copied.")
                await asyncio.sleep(0.2)

        await asyncio.create_task(tell())

    monkeypatch.setattr(Worker, "works", copies)
    assert served.http.post(f"{served.vm(served.project(), 'worker')}/start").status_code == 204


def test_work_that_says_the_same_again_and_again_is_cancelled(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(vm: VM) -> None:
        while True:
            vm.progress(0.501, "The image is being copied.")
            await asyncio.sleep(0.1)

    monkeypatch.setattr(Worker, "works", hangs)
    reply = served.http.post(f"{served.vm(served.project(), 'worker')}/start")
    assert reply.status_code == 500
    assert "did not end start of worker 'A'" in reply.json()["message"]


def test_progress_is_told_as_events(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def copies(vm: VM) -> None:
        for share in (None, 0.111, 0.114, 2.0):
            vm.progress(share, "The image is being copied.")

    monkeypatch.setattr(Worker, "works", copies)
    vm = served.vm(served.project(), "worker")
    subscription = served.call(served.lab.events.listen)
    served.http.post(f"{vm}/start")
    told: list[Any] = []

    def more() -> bool:
        if (event := served.call(lambda: subscription._events.popleft() if subscription._events else None)) is not None:
            told.append(event)
        return bool(told) and told[-1].action == "vm.started"

    until(more, "the end of the start")
    assert [event.event["share"] for event in told if event.action == "vm.progress"] == [None, 0.11, 1.0]
    assert {(event.event["vm_id"], event.event["name"], event.event["message"]) for event in told[:-1]} == {
        (vm.rsplit("/", 1)[1], "A", "The image is being copied.")
    }
