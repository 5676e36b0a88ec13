"""What is told of a VM: by the kernel, of every kind, in the order in which it happened."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fragile import PROJECT, Bench, Cat, Test
from labplane import VM, BadRequest, Conflict, Event, LabError
from labplane.machines import lifecycle


async def told(bench: Bench, count: int) -> list[Event]:
    """The next events of the lab; the first call begins to listen."""
    listener = bench.__dict__.setdefault("listener", bench.lab.events.listen())
    found: list[Event] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            event = await listener.within(None)
            assert event
            found.append(event)
    return found


async def actions(bench: Bench, count: int) -> list[str]:
    return [event.action for event in await told(bench, count)]


def test_a_driver_tells_of_its_vms_by_doing_nothing(bench: Callable[[Test], None]) -> None:
    """W-3: also of one that is suspended, and of one that reloads in its own way."""

    async def test(bench: Bench) -> None:
        await told(bench, 0)
        vm = await bench.create()
        for work in (lifecycle.start, lifecycle.suspend, lifecycle.resume, lifecycle.reload, lifecycle.stop):
            await work(vm)
        await lifecycle.remove(vm)
        events = await told(bench, 8)
        assert [event.action for event in events] == [
            "vm.created", "vm.started", "vm.suspended", "vm.started", "vm.stopped", "vm.started", "vm.stopped",
            "vm.deleted",
        ]  # fmt: skip
        statuses = [event.event["status"] for event in events]
        assert statuses == [
            "stopped", "started", "suspended", "started", "stopped", "started", "stopped", "stopped",
        ]  # fmt: skip
        assert {event.project_id for event in events} == {PROJECT}

    bench(test)


def test_no_driver_is_asked_to_show_a_vm_for_events_while_nobody_listens(bench: Callable[[Test], None]) -> None:
    async def test(bench: Bench) -> None:
        shows: list[VM] = []

        async def show(vm: VM) -> Mapping[str, Any]:
            shows.append(vm)
            return {}

        vm, heard = await bench.create(), await bench.create()
        bench.fragile.show = show  # type: ignore[method-assign]
        await lifecycle.start(vm)
        await lifecycle.remove(vm)
        assert shows == []
        with bench.lab.events.listen(PROJECT):
            await lifecycle.remove(heard)
        assert shows == [heard]

    bench(test)


@pytest.mark.parametrize("step", ["check", "start"])
@pytest.mark.parametrize("error", [Conflict("no"), ValueError("bug")])
def test_a_start_that_failed_is_a_stop_and_a_fault_of_the_plugin_is_told_without_its_details(
    step: str, error: Exception, bench: Callable[[Test], None]
) -> None:
    """W-3, W-5."""

    async def test(bench: Bench) -> None:
        vm = await bench.create()
        await told(bench, 0)
        bench.fragile.fails[step] = error
        with pytest.raises(LabError):
            await lifecycle.start(vm)
        if isinstance(error, ValueError):
            (fault,) = await told(bench, 1)
            assert (fault.action, fault.project_id) == ("log.error", PROJECT)
            assert f"failed at {step} of fragile 'A'" in fault.event["message"]
            assert "bug" not in fault.text
        assert await actions(bench, 1) == ["vm.stopped"]

    bench(test)


def test_a_vm_that_could_not_be_made_was_never_there(bench: Callable[[Test], None]) -> None:
    """M-5: not even in the events."""

    async def test(bench: Bench) -> None:
        async def show(_: VM) -> None:
            raise BadRequest("no")

        await told(bench, 0)
        with pytest.raises(BadRequest):
            await bench.make("fragile", {"name": "A"}, show)
        await bench.create()
        assert await actions(bench, 1) == ["vm.created"]

    bench(test)


def test_a_slow_show_holds_up_the_news_of_its_own_vm_alone_and_keeps_their_order(bench: Callable[[Test], None]) -> None:
    """W-4: each with the status of its moment."""

    async def test(bench: Bench) -> None:
        gate = asyncio.Event()

        class Slow(Cat):
            async def show(self, vm: VM) -> Mapping[str, Any]:
                await gate.wait()
                return await super().show(vm)

        vm, other = await bench.create("cat"), await bench.create()
        vm.driver = Slow(bench.lab)
        await told(bench, 0)
        await lifecycle.start(vm)
        assert vm.session
        assert vm.session.process
        vm.session.process.kill()
        await vm.session.process.wait()
        await lifecycle.start(other)
        removal = asyncio.create_task(lifecycle.remove(vm))
        (event,) = await told(bench, 1)
        assert (event.action, event.event["vm_id"]) == ("vm.started", other.id)
        gate.set()
        await removal
        events = await told(bench, 4)
        assert [event.action for event in events] == ["vm.started", "log.error", "vm.stopped", "vm.deleted"]
        assert [event.event.get("status") for event in events] == ["started", None, "stopped", "stopped"]

    bench(test)


def test_a_vm_that_cannot_be_shown_is_told_of_with_what_the_kernel_knows(bench: Callable[[Test], None]) -> None:
    async def test(bench: Bench) -> None:
        async def show(vm: VM) -> Mapping[str, Any]:
            raise Conflict("not now")

        vm = await bench.create()
        await told(bench, 0)
        bench.fragile.show = show  # type: ignore[method-assign]
        await lifecycle.start(vm)
        (event,) = await told(bench, 1)
        assert event.event.keys() == {"name", "vm_id", "project_id", "status", "vm_directory", "console"}

    bench(test)


def test_a_program_that_ends_is_told_of_unless_it_was_told_to(bench: Callable[[Test], None]) -> None:
    """W-5: by itself with what it returned, an error unless that is 0."""

    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        await told(bench, 0)
        for status, level in ((0, "info"), (3, "error")):
            vm.data["command"] = ["/bin/sh", "-c", f"read line; exit {status}"]
            await lifecycle.start(vm)
            assert vm.session
            assert vm.session.process
            vm.session.process.write(b"\n")
            _, said, _ = await told(bench, 3)
            assert said.action == f"log.{level}"
            assert said.event == {"message": f"{vm} ended by itself, with status {status}."}
        await lifecycle.start(vm)
        await lifecycle.reload(vm)
        await lifecycle.stop(vm)
        assert await actions(bench, 4) == ["vm.started", "vm.stopped", "vm.started", "vm.stopped"]

    bench(test)


def test_what_is_told_in_words_comes_after_what_was_announced_before(bench: Callable[[Test], None]) -> None:
    """W-3, W-5: however long the driver takes to show the VM."""

    async def test(bench: Bench) -> None:
        asked = asyncio.Event()

        async def show(vm: VM) -> Mapping[str, Any]:
            await asked.wait()
            return {}

        vm = await bench.create()
        await told(bench, 0)
        bench.fragile.show = show  # type: ignore[method-assign]
        await lifecycle.start(vm)
        vm.tell("info", "A word.")
        await lifecycle.stop(vm)
        asked.set()
        assert await actions(bench, 3) == ["vm.started", "log.info", "vm.stopped"]

    bench(test)


def test_a_log_that_ends_before_its_program_is_told_of(bench: Callable[[Test], None]) -> None:
    """W-5."""

    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        (vm.dir / "cat.log.1").mkdir()  # where its older half is to go
        loop = f"i=0; while [ $i -lt 6000 ]; do echo {'x' * 100}; i=$((i + 1)); done"
        vm.data["command"] = ["/bin/sh", "-c", f"read line; {loop}; read line"]
        await told(bench, 0)
        await lifecycle.start(vm)
        assert vm.session
        assert vm.session.process
        vm.session.process.write(b"\n")
        started, said = await told(bench, 2)
        assert (started.action, said.action) == ("vm.started", "log.warning"), said
        assert said.event == {"message": f"{vm}: {vm.dir / 'cat.log'} is not continued: Is a directory"}

    bench(test)


def test_the_streams_of_a_project_end_with_it_and_the_others_with_the_lab(bench: Callable[[Test], None]) -> None:
    """W-6."""

    async def test(bench: Bench) -> None:
        await bench.create()
        everything, mine = bench.lab.events.listen(), bench.lab.events.listen(PROJECT)
        await bench.lab.close(PROJECT)
        assert [event.action async for event in mine] == ["vm.deleted"]
        await bench.lab.end()
        assert [event.action async for event in everything] == ["vm.deleted"]

    bench(test)
