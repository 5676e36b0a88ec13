"""Fixtures of the kernel's tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.types import ASGIApp

from fragile import PROJECT, Bench, Cat, Fragile, Test
from inprocess import PROJECTS, offering, serving, settings
from labplane import Request
from labplane.kernel import Kernel
from slow import Arrivals, Lane, Slow


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Runs a coroutine within 20 seconds, once on each kind of event loop; its result."""

    def run(main: Any) -> Any:
        async def in_time() -> Any:
            async with asyncio.timeout(20):
                return await main

        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(in_time())

    return run


@pytest.fixture
def bench(tmp_path: Path) -> Callable[[Test], None]:
    """Runs a coroutine with a bench, and looks afterwards whether all ports are back."""

    @asynccontextmanager
    async def made() -> AsyncIterator[Bench]:
        lab = Kernel(settings(tmp_path, strict=True), [PROJECTS, offering(Fragile, Cat)])
        await lab.start()
        try:
            create = next(r for r in lab.routes.routes if (r.method, r.path) == ("POST", "/v1/projects"))
            await create.endpoint(Request({"project_id": PROJECT}, {}, None, {}))
            yield Bench(lab)
        finally:
            for driver in lab.drivers.values():
                if isinstance(driver, Fragile):
                    driver.fails.clear()
            await lab.end()
        assert len(lab.vms) == len(lab.consoles) == len(lab.udp) == 0

    def run(test: Test) -> None:
        async def main() -> None:
            async with made() as bench, asyncio.timeout(30):
                await test(bench)

        asyncio.run(main())

    return run


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    """A served lab with the slow driver, on whose VMs no two operations may ever have met."""
    around: list[Arrivals] = []

    def watch(app: ASGIApp) -> ASGIApp:
        around.append(Arrivals(app))
        return around[0]

    with serving(tmp_path, [offering(Slow)], watch) as served:
        lane = Lane(served, around[0])
        try:
            yield lane
        finally:
            for event in lane.driver.gates.values():
                served.call(event.set)
            lane.threads.shutdown()
    assert lane.driver.collisions == []
