"""The life of a VM with a real program: its console, its end, and what is left of it."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fragile import Bench, Cat, Test
from labplane import (
    VM,
    Conflict,
    Session,
    Unavailable,
)
from labplane.errors import Fault
from labplane.machines import lifecycle


async def reachable(port: int) -> bool:
    """Whether somebody is served there, not only let in while the listener is just being closed."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            return bool(await reader.read(1))
    except ConnectionError:
        return False


def test_the_console_of_a_running_vm_moves_and_comes_back_when_the_update_fails(bench: Callable[[Test], None]) -> None:
    """M-10: never a port that nobody listens on."""

    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        await lifecycle.start(vm)
        old, new = vm.console, bench.lab.consoles.last
        assert old
        vm.data["fails"] = ValueError("bug")
        with pytest.raises(Fault, match="failed at configure of cat 'A'"):
            await lifecycle.update(vm, {"console": new, "name": "B"})
        assert (vm.name, vm.console, bench.lab.consoles.of(vm)) == ("A", old, [old])
        assert await reachable(old)
        assert not await reachable(new)
        vm.data.clear()
        await lifecycle.update(vm, {"console": new})
        assert bench.lab.consoles.of(vm) == [new]
        assert await reachable(new)
        assert not await reachable(old)

    bench(test)


@contextmanager
def stranger_in_between(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Meanwhile a stranger's listener is quicker than that of a console, in the moment when its port is shared."""
    strangers: list[socket.socket] = []
    shared = bench.lab.consoles.shared

    @contextmanager
    def stolen(number: int) -> Iterator[None]:
        with shared(number):
            strangers.append(socket.create_server(("127.0.0.1", number)))
            yield

    with monkeypatch.context() as patch:
        patch.setattr(bench.lab.consoles, "is_free_on_host", lambda _: True)
        patch.setattr(bench.lab.consoles, "shared", stolen)
        try:
            yield
        finally:
            assert strangers
            for stranger in strangers:
                stranger.close()


def test_a_running_vm_keeps_its_console_when_the_new_one_is_gone_in_between(
    bench: Callable[[Test], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        await lifecycle.start(vm)
        old, new = vm.console, bench.lab.consoles.last
        assert old
        words = f"console port {new} is in use by another program"
        with stranger_in_between(bench, monkeypatch), pytest.raises(Conflict, match=words):
            await lifecycle.update(vm, {"console": new})
        assert bench.lab.consoles.of(vm) == [old]
        assert await reachable(old)

    bench(test)


def test_the_console_of_a_running_vm_without_a_program_stays(bench: Callable[[Test], None]) -> None:
    async def test(bench: Bench) -> None:
        vm = await bench.create()
        await lifecycle.start(vm)
        with pytest.raises(Conflict, match="cannot be changed while it runs"):
            await lifecycle.update(vm, {"console": bench.lab.consoles.last})
        assert len(bench.lab.consoles) == 1

    bench(test)


def test_a_program_that_ends_leaves_its_vm_stopped_and_its_console_closed(bench: Callable[[Test], None]) -> None:
    """S-7; and a restart gets the same port."""

    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        await lifecycle.start(vm)
        assert vm.session
        assert vm.session.process
        assert (await vm.to_object())["command_line"] == "/bin/cat"
        reader, writer = await asyncio.open_connection("127.0.0.1", vm.console)
        writer.write(b"over\r\n")
        await reader.readuntil(b"over\r\nover\r\n")
        writer.close()
        vm.session.process.kill()
        async with asyncio.timeout(20):
            while vm.status == "started" or vm.session.listener.address is not None:
                await asyncio.sleep(0.002)
        assert not await reachable(vm.console or 0)
        await lifecycle.start(vm)
        assert await reachable(vm.console or 0)
        await lifecycle.reload(vm)
        assert (vm.status, await reachable(vm.console or 0)) == ("started", True)

    bench(test)


def test_a_program_that_cannot_be_executed_leaves_no_console_behind(bench: Callable[[Test], None]) -> None:
    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        vm.data["command"] = ["/no/such/program"]
        with pytest.raises(Unavailable, match="/no/such/program cannot be executed: No such file or directory"):
            await lifecycle.start(vm)
        assert (vm.status, await reachable(vm.console or 0)) == ("stopped", False)

    bench(test)


def test_a_program_that_ends_at_once_is_a_conflict_with_its_last_words(bench: Callable[[Test], None]) -> None:
    """S-3. The driver waits until it has ended, as one that looks for a sign of life does."""

    class Short(Cat):
        async def launch(self, vm: VM, session: Session) -> None:
            await super().launch(vm, session)
            assert session.process
            await session.process.wait()

    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        vm.driver = Short(bench.lab)
        for script, words in (("echo well; echo oh dear; exit 1", "oh dear"), ("exit 0", "none")):
            vm.data["command"] = ["/bin/sh", "-c", script]
            with pytest.raises(Conflict, match=f"ended as soon as it was started. Its last words: {words}$"):
                await lifecycle.start(vm)
            assert (vm.status, await reachable(vm.console or 0)) == ("stopped", False)

    bench(test)


def test_a_launch_that_fails_before_it_waits_leaves_no_log_open(bench: Callable[[Test], None]) -> None:
    class Hasty(Cat):
        async def launch(self, vm: VM, session: Session) -> None:
            raise Conflict("not today")

    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        vm.driver = Hasty(bench.lab)
        with pytest.raises(Conflict, match="not today"):
            await lifecycle.start(vm)
        opened = [os.readlink(file) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
        assert str(vm.dir / "cat.log") not in opened
        assert not await reachable(vm.console or 0)

    bench(test)


def test_a_console_port_that_a_stranger_took_meanwhile_is_a_conflict(
    bench: Callable[[Test], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """M-4, S-3."""

    async def test(bench: Bench) -> None:
        vm = await bench.create("cat")
        words = r"cannot be opened on 127\.0\.0\.1: Address already in use\. Give the VM"
        with stranger_in_between(bench, monkeypatch), pytest.raises(Conflict, match=words):
            await lifecycle.start(vm)
        assert vm.status == "stopped"
        await lifecycle.start(vm)

    bench(test)
