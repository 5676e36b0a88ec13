"""A driver whose operations take time and keep a book, and a lab with it that requests can be sent to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inprocess import Served
from labplane import VM, Conflict, Driver, Lab, Schema
from support import until

REFUSED = -1


class Slow(Driver):
    """Every operation waits at the gate of its VM, if there is one, and is written down."""

    kind = "slow"
    console = False
    properties: ClassVar[Mapping[str, Schema]] = {"tag": {"type": "integer"}}

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.book: list[tuple[str, str, Any]] = []
        self.busy: set[str] = set()
        self.collisions: list[str] = []
        self.together = 0
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: list[tuple[str, str]] = []
        self.fails: dict[str, Exception] = {}
        self.pause = 0.0

    @asynccontextmanager
    async def working(self, vm: VM, what: str, note: Any = None) -> AsyncIterator[None]:
        if vm.id in self.busy:
            self.collisions.append(f"{what} of {vm}")
        self.busy.add(vm.id)
        self.together = max(self.together, len(self.busy))
        self.begun.append((vm.id, what))
        try:
            if what in self.gates:
                await self.gates[what].wait()
            await asyncio.sleep(self.pause)
            if what in self.fails:
                raise self.fails[what]
            yield
        finally:
            self.busy.discard(vm.id)
            self.book.append((vm.id, what, note))

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        async with self.working(vm, "configure", changes.get("tag")):
            if changes.get("tag") == REFUSED:
                raise Conflict("Not this one.")

    async def link(self, vm: VM, nio: Mapping[str, Any]) -> None:
        async with self.working(vm, "link"):
            pass

    async def show(self, vm: VM) -> Mapping[str, Any]:
        async with self.working(vm, "show"):
            return await super().show(vm)

    async def start(self, vm: VM) -> None:
        async with self.working(vm, "start"):
            pass

    async def stop(self, vm: VM) -> None:
        async with self.working(vm, "stop"):
            pass

    async def reload(self, vm: VM) -> None:
        async with self.working(vm, "reload"):
            pass

    async def removed(self, vm: VM) -> None:
        async with self.working(vm, "removed"):
            pass

    def waiting(self, vm_id: str) -> int:
        """How many requests queue for that VM."""
        vm = self.lab.vms.get(vm_id)
        return len(vm.lock._waiters or ()) if vm else 0


class Arrivals:
    """ASGI middleware that writes down in which order the bodies of requests were complete."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen: list[tuple[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched() -> Message:
            message = await receive()
            body = message.get("body")
            if body and not message.get("more_body"):
                self.seen.append((scope["path"], json.loads(body).get("tag")))
            return message

        await self.app(scope, watched, send)


class Lane:
    """A served lab with the slow driver, a project, and threads to send requests from."""

    def __init__(self, served: Served, arrivals: Arrivals) -> None:
        self.served = served
        self.arrivals = arrivals
        driver = served.lab.drivers["slow"]
        assert isinstance(driver, Slow)
        self.driver = driver
        self.project = served.project()
        self.threads = ThreadPoolExecutor(16)

    def vm(self, **body: Any) -> str:
        return self.served.vm(self.project, "slow", **body)

    def send(self, method: str, path: str, **more: Any) -> Future[httpx2.Response]:
        """Send a request from a thread of its own."""
        return self.threads.submit(lambda: self.served.http.request(method, path, **more))

    def hold(self, *operations: str) -> Callable[[], None]:
        """From now on these operations wait; returns what lets them go on."""
        events = {what: asyncio.Event() for what in operations}
        self.driver.gates.update(events)

        def let_go() -> None:
            for what, event in events.items():
                self.driver.gates.pop(what, None)
                self.served.call(event.set)

        return let_go

    def until_begun(self, vm: str, what: str) -> None:
        until(lambda: (vm_id(vm), what) in self.driver.begun, f"{what} to begin")

    def until_waiting(self, vm: str, count: int) -> None:
        until(lambda: self.served.call(self.driver.waiting, vm_id(vm)) == count, f"{count} requests in the queue")


def vm_id(path: str) -> str:
    return path.rsplit("/", 1)[1]
