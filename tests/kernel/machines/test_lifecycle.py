"""A VM's life is all or nothing: whichever step its driver fails at, ports, directory and name are as before."""

import asyncio
import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fragile import PROJECT, VM_ID, Bench, Test
from labplane import (
    VM,
    BadRequest,
    Conflict,
    LabError,
    NotFound,
    Unavailable,
)
from labplane.errors import Fault, StorageFull
from labplane.machines import lifecycle
from labplane.machines.places import directory_of
from support import free_range, port_is_free

UDP = {"type": "nio_udp", "rport": 9, "rhost": "127.0.0.1"}

ERRORS = [Conflict("no"), ValueError("bug"), OSError(28, "No space left on device"), asyncio.CancelledError()]


def told(error: BaseException) -> type[BaseException]:
    """The error that reaches the request when a driver raises `error`."""
    return type(error) if isinstance(error, LabError) else StorageFull if isinstance(error, OSError) else Fault


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_of_a_vm_that_cannot_be_made_nothing_remains(error: BaseException, bench: Callable[[Test], None]) -> None:
    """M-5, B-13."""

    async def test(bench: Bench) -> None:
        before = bench.leases()
        bench.fragile.fails["configure"] = error
        for console in (None, bench.lab.consoles.last):
            with pytest.raises(told(error)):
                await bench.create(vm_id=VM_ID, console=console)
            assert bench.leases() == before
            assert not directory_of(bench.lab, PROJECT, "fragile", VM_ID).exists()
            assert len(bench.lab.vms) == 0
        bench.fragile.fails.clear()
        vm = await bench.create(vm_id=VM_ID)
        assert (vm.console, vm.settings) == (bench.lab.consoles.first, {"size": 1})

    bench(test)


def test_the_directory_of_a_vm_that_existed_before_survives_a_failed_creation(bench: Callable[[Test], None]) -> None:
    """M-8."""

    async def test(bench: Bench) -> None:
        directory = directory_of(bench.lab, PROJECT, "fragile", VM_ID)
        directory.mkdir(parents=True)
        (directory / "disk").write_text("precious")
        bench.fragile.fails["configure"] = Conflict("no")
        with pytest.raises(Conflict):
            await bench.create(vm_id=VM_ID)
        assert (directory / "disk").read_text() == "precious"

    bench(test)


def test_a_directory_of_a_vm_that_is_not_made_and_cannot_be_removed_is_told(
    bench: Callable[[Test], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """M-5: the refusal is the driver's all the same, and everything else is given back."""

    def refuse(directory: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(directory))

    async def test(bench: Bench) -> None:
        bench.fragile.fails["configure"] = Conflict("no")
        with pytest.raises(Conflict, match="no"):
            await bench.create(vm_id=VM_ID)
        assert len(bench.lab.vms) == len(bench.lab.consoles) == 0

    monkeypatch.setattr(lifecycle, "remove_tree", refuse)
    bench(test)
    assert f"{VM_ID} stays: Read-only file system" in caplog.text


def test_a_directory_that_cannot_be_made_gives_the_console_back(bench: Callable[[Test], None]) -> None:
    async def test(bench: Bench) -> None:
        blocked = directory_of(bench.lab, PROJECT, "fragile", VM_ID)
        blocked.parent.parent.mkdir(parents=True, exist_ok=True)
        blocked.parent.write_text("a file where a directory belongs")
        with pytest.raises(OSError, match=r"exists|directory"):
            await bench.create(vm_id=VM_ID)
        assert len(bench.lab.consoles) == 0

    bench(test)


@pytest.mark.parametrize("console", ["taken", "privileged", "stranger"])
def test_a_console_that_cannot_be_had_is_a_conflict_and_leaves_nothing(
    console: str, bench: Callable[[Test], None]
) -> None:
    """M-4."""

    async def test(bench: Bench) -> None:
        vm = await bench.create()
        assert vm.console
        with socket.socket() as stranger:
            stranger.bind(("0.0.0.0", vm.console + 1))
            stranger.listen()
            number = {"taken": vm.console, "privileged": 1, "stranger": vm.console + 1}[console]
            with pytest.raises(Conflict):
                await bench.create(console=number)
        assert len(bench.lab.vms) == len(bench.lab.consoles) == 1

    bench(test)


def test_a_vm_id_that_another_kind_or_project_has_is_a_conflict(bench: Callable[[Test], None]) -> None:
    """M-6."""

    async def test(bench: Bench) -> None:
        vm = await bench.create(vm_id=VM_ID.upper())
        assert await bench.create(vm_id=VM_ID) is vm
        with pytest.raises(Conflict, match="belongs to fragile 'A'"):
            await bench.create("cat", vm_id=VM_ID)
        assert (await bench.create(vm_id=17)).id != VM_ID, "an integer of older topologies gets a fresh one"

    bench(test)


def test_a_project_that_is_not_open_takes_no_vm(bench: Callable[[Test], None]) -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(NotFound):
            await bench.make("fragile", {"name": "A"}, VM.to_object, VM_ID)
        assert len(bench.lab.consoles) == 0

    bench(test)


def test_an_update_that_the_driver_refuses_changes_nothing(bench: Callable[[Test], None]) -> None:
    """M-10, B-3."""

    async def test(bench: Bench) -> None:
        vm = await bench.create()
        before = await vm.to_object(), bench.leases()
        for error in ERRORS:
            bench.fragile.fails["configure"] = error
            for body in ({"name": "B"}, {"size": 2}, {"console": bench.lab.consoles.last, "name": "B", "size": 2}):
                with pytest.raises(told(error)):
                    await lifecycle.update(vm, body)
                assert (await vm.to_object(), bench.leases()) == before
        bench.fragile.fails.clear()
        await lifecycle.update(vm, {"console": bench.lab.consoles.last, "name": "B", "size": 2})
        assert (vm.name, vm.console, vm.settings) == ("B", bench.lab.consoles.last, {"size": 2})
        assert len(bench.lab.consoles) == 1
        await lifecycle.update(vm, {"console": None, "name": None})
        assert (vm.name, vm.console) == ("B", bench.lab.consoles.last)

    bench(test)


@pytest.mark.parametrize("step", ["check", "start"])
def test_a_vm_that_cannot_start_is_stopped(step: str, bench: Callable[[Test], None]) -> None:
    async def test(bench: Bench) -> None:
        vm = await bench.create()
        bench.fragile.fails[step] = Unavailable("no")
        with pytest.raises(Unavailable):
            await lifecycle.start(vm)
        assert vm.status == "stopped"

    bench(test)


def test_start_stop_suspend_and_resume_do_what_the_state_asks_for(bench: Callable[[Test], None]) -> None:
    """S-1, S-5, S-6."""

    async def test(bench: Bench) -> None:
        vm, steps = await bench.create(), bench.fragile.steps

        async def after(action: Callable[[VM], Any]) -> tuple[str, list[str]]:
            steps.clear()
            await action(vm)
            return vm.status, steps.copy()

        assert await after(lifecycle.stop) == ("stopped", [])
        for action in (lifecycle.suspend, lifecycle.resume):
            with pytest.raises(Conflict, match="does not run; start it first"):
                await action(vm)
        assert await after(lifecycle.start) == ("started", ["check", "start"])
        assert await after(lifecycle.start) == ("started", [])
        assert await after(lifecycle.resume) == ("started", [])
        assert await after(lifecycle.suspend) == ("suspended", ["suspend"])
        assert await after(lifecycle.suspend) == ("suspended", [])
        with pytest.raises(Conflict, match="is suspended; resume it or stop it first"):
            await lifecycle.start(vm)
        assert await after(lifecycle.resume) == ("started", ["resume"])
        assert await after(lifecycle.reload) == ("started", ["check", "reload"])
        assert await after(lifecycle.suspend) == ("suspended", ["suspend"])
        assert await after(lifecycle.stop) == ("stopped", ["stop"])
        assert await after(lifecycle.reload) == ("started", ["check", "reload"])

    bench(test)


def test_links_are_all_or_nothing(bench: Callable[[Test], None]) -> None:
    """N-1 to N-6, U-5, U-6, B-2."""

    async def test(bench: Bench) -> None:
        vm, other, udp = await bench.create(), await bench.create(), bench.lab.udp
        for step in ("link", "connect"):
            vm.status = "started" if step == "connect" else "stopped"
            bench.fragile.fails = {step: Conflict("no")}
            with pytest.raises(Conflict):
                await lifecycle.plug(vm, (0, 0), {**UDP, "lport": 41})
            assert (len(udp), vm.nios) == (0, {})
        bench.fragile.fails = {}
        await lifecycle.plug(vm, (0, 0), {**UDP, "lport": 41})
        with pytest.raises(Conflict, match="is in use at another port of fragile 'A'"):
            await lifecycle.plug(vm, (1, 1), {**UDP, "lport": 41})
        with pytest.raises(Conflict, match="41 is held by fragile 'A'"):
            await lifecycle.plug(other, (0, 0), {**UDP, "lport": 41})
        await lifecycle.plug(vm, (0, 0), {**UDP, "lport": 41, "rport": 10})
        assert (udp.of(vm), vm.nios[0, 0]["rport"]) == ([41], 10)
        await lifecycle.plug(vm, (0, 0), {**UDP, "lport": 42})
        assert udp.of(vm) == [42], "replaced: the old one is free"

        bench.fragile.fails = {"connect": Conflict("no"), "disconnect": Conflict("no")}
        with pytest.raises(Conflict, match="no"):
            await lifecycle.plug(vm, (0, 0), {**UDP, "lport": 43})
        with pytest.raises(Conflict, match="no"):
            await lifecycle.plug(vm, (0, 0), {**UDP, "lport": 42, "rport": 11})
        with pytest.raises(Conflict, match="no"):
            await lifecycle.unplug(vm, (0, 0))
        assert (udp.of(vm), vm.nios[0, 0]["lport"]) == ([42], 42)

        bench.fragile.fails = {}
        await lifecycle.unplug(vm, (0, 0))
        await lifecycle.unplug(vm, (0, 0))
        assert (udp.of(vm), vm.nios) == ([], {})
        with pytest.raises(Conflict, match="has no port 2"):
            await lifecycle.unplug(vm, (1, 2))
        with pytest.raises(Conflict, match="does not support nio_tap"):
            await lifecycle.plug(vm, (0, 0), {"type": "nio_tap", "tap_device": "tap0"})
        vm.nios[1, 0] = {"type": "nio_tap", "tap_device": "tap0"}
        await lifecycle.unplug(vm, (1, 0))
        vm.status = "stopped"

    bench(test)


def test_the_far_end_of_a_link_is_looked_at_for_every_kind_of_vm(bench: Callable[[Test], None]) -> None:
    """N-4: before the driver is asked, and nothing is leased."""

    async def test(bench: Bench) -> None:
        vm = await bench.create()
        for rhost, error in (("256.1.1.1", BadRequest), ("nobody.invalid", Conflict)):
            with pytest.raises(error, match=rhost):
                await lifecycle.plug(vm, (0, 0), {**UDP, "lport": 9000, "rhost": rhost})
        assert (vm.nios, len(bench.lab.udp)) == ({}, 0)

    bench(test)


def test_a_vm_inherits_the_udp_ports_of_its_project_and_of_nobody(bench: Callable[[Test], None]) -> None:
    async def test(bench: Bench) -> None:
        vm, udp = await bench.create(), bench.lab.udp
        mine, anybodys = udp.lease(bench.lab.project_owner(PROJECT)), udp.lease(None)
        foreign = udp.lease(bench.lab.project_owner(VM_ID))
        await lifecycle.plug(vm, (0, 0), {**UDP, "lport": mine})
        await lifecycle.plug(vm, (1, 0), {**UDP, "lport": anybodys})
        with pytest.raises(Conflict):
            await lifecycle.plug(vm, (1, 1), {**UDP, "lport": foreign})
        assert udp.of(vm) == [mine, anybodys]
        udp.release_all(bench.lab.project_owner(VM_ID))

    bench(test)


@pytest.mark.parametrize("step", ["stop", "removed"])
@pytest.mark.parametrize("error", [Conflict("no"), ValueError("bug")], ids=["refuses", "crashes"])
def test_a_vm_is_removed_with_all_that_it_had_even_if_its_driver_fails(
    step: str, error: Exception, bench: Callable[[Test], None], caplog: pytest.LogCaptureFixture
) -> None:
    """M-12."""

    async def test(bench: Bench) -> None:
        vm = await bench.create()
        await lifecycle.plug(vm, (0, 0), {**UDP, "lport": 41})
        vm.nios[1, 0] = {"type": "nio_tap", "tap_device": "tap0"}
        await lifecycle.start(vm)
        bench.fragile.fails[step] = error
        await lifecycle.remove(vm)
        assert (vm.status, vm.gone, len(bench.lab.vms)) == ("stopped", True, 0)
        assert bench.leases() == ({}, {})
        assert bench.fragile.steps[-2:] == ["stop", "removed"]

    bench(test)
    assert f"its driver's {step} failed while it was removed" in caplog.text


def test_a_driver_that_serves_its_console_itself_gets_its_ports_for_each_start(bench: Callable[[Test], None]) -> None:
    """U-3: with sockets that share nothing; in between no stranger gets them."""

    async def test(bench: Bench) -> None:
        vm = await bench.create()
        assert vm.console
        lport = int(free_range(1, socket.SOCK_DGRAM).split("-")[0])
        await lifecycle.plug(vm, (0, 0), {"type": "nio_udp", "lport": lport, "rhost": "127.0.0.1", "rport": 9})
        ports = ((vm.console, socket.SOCK_STREAM), (lport, socket.SOCK_DGRAM))
        for _ in range(2):
            assert not any(port_is_free(*port) for port in ports)
            await lifecycle.start(vm)
            assert all(port_is_free(*port) for port in ports), "its own sockets can be bound now"
            await lifecycle.stop(vm)
        assert not any(port_is_free(*port) for port in ports)

    bench(test)
