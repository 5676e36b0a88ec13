"""Relay sockets of real VPCS, and what the guards do about them (Q-5, B-12)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from labplane import find_program
from labplane.emulators.terminals import Process
from labplane.kernel import Kernel
from labplane.settings import Settings
from labplane_vpcs.relay import OFFSET, Relays
from labplane_vpcs.sockets import has_udp_port
from support import free_range, port_is_free


def run(main: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(60):
            await main

    asyncio.run(in_time())


def lab_in(directory: Path) -> Kernel:
    return Kernel(Settings(projects_dir=str(directory / "projects")))


def some_lport() -> int:
    return int(free_range(OFFSET + 1, socket.SOCK_DGRAM).split("-")[0])


@contextlib.asynccontextmanager
async def vpcs(lab: Kernel, lport: int, directory: Path) -> AsyncIterator[Process]:
    command = [str(find_program("vpcs", "")), "-i", "1", "-s", str(lport), "-c", "9", "-t", "127.0.0.1"]
    process = await lab.terminals.spawn(command, cwd=directory, on_output=lambda _: None, on_exit=lambda _: None)
    try:
        yield process
    finally:
        await process.stop()
        await lab.terminals.end()


async def bound(process: Process, number: int) -> None:
    while not has_udp_port(process.pid, number):
        await asyncio.sleep(0.005)


def test_an_unguarded_vpcs_takes_the_port_nine_further(tmp_path: Path) -> None:
    """What all of this is for; should it ever fail, the guards can go."""

    async def main() -> None:
        lport = some_lport()
        async with vpcs(lab_in(tmp_path), lport, tmp_path) as process:
            await bound(process, lport + OFFSET)

    run(main())


def test_a_guarded_vpcs_does_without_and_its_neighbour_gets_the_port(tmp_path: Path) -> None:
    async def main() -> None:
        lab, lport = lab_in(tmp_path), some_lport()
        relays = Relays(lab)
        attempt = await relays.expect(lport)
        async with vpcs(lab, lport, tmp_path) as one:
            await relays.watch(attempt, one.pid)
            async with relays.binding(lport + OFFSET), vpcs(lab, lport + OFFSET, tmp_path) as two:
                await bound(two, lport + OFFSET)
                assert not has_udp_port(one.pid, lport + OFFSET)

    run(main())


def test_a_young_attempt_hands_the_port_over_at_once() -> None:
    async def main() -> None:
        lab, lport = Kernel(Settings()), some_lport()
        relays = Relays(lab)
        await relays.expect(lport)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
            with pytest.raises(OSError, match="in use"):
                neighbour.bind(("0.0.0.0", lport + OFFSET))
            async with relays.binding(lport + OFFSET):
                neighbour.bind(("0.0.0.0", lport + OFFSET))

    run(main())


def test_an_older_attempt_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labplane_vpcs.relay.HAND_OVER_UNTIL", 0.0)

    async def main() -> None:
        lab, lport = Kernel(Settings()), some_lport()
        relays = Relays(lab)
        attempt = await relays.expect(lport)

        async def bind() -> None:
            async with relays.binding(lport + OFFSET):
                assert attempt.over.is_set()

        waiting = asyncio.create_task(bind())
        await asyncio.sleep(0)
        assert not waiting.done()
        relays.finish(attempt)
        await waiting

    run(main())


def test_a_neighbour_that_is_too_slow_is_told_and_the_port_guarded_again() -> None:
    async def main() -> None:
        lab, lport = Kernel(Settings()), some_lport()
        relays = Relays(lab)
        attempt = await relays.expect(lport)
        async with relays.binding(lport + OFFSET) as binding:
            watching = asyncio.create_task(relays.watch(attempt, 1))
            while not binding.overtaken:
                await asyncio.sleep(0.005)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, pytest.raises(OSError, match="in use"):
                probe.bind(("0.0.0.0", lport + OFFSET))
        relays.finish(attempt)
        watching.cancel()

    run(main())


def test_a_guard_does_not_take_a_port_that_is_being_bound() -> None:
    async def main() -> None:
        lab, lport = Kernel(Settings()), some_lport()
        relays = Relays(lab)
        async with relays.binding(lport + OFFSET) as binding:
            await relays.expect(lport)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
                neighbour.bind(("0.0.0.0", lport + OFFSET))
            assert not binding.overtaken

    run(main())


def test_a_port_that_its_holder_left_is_guarded_while_an_attempt_is_ahead() -> None:
    async def main() -> None:
        lab, lport = Kernel(Settings()), some_lport()
        relays = Relays(lab)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
            neighbour.bind(("0.0.0.0", lport + OFFSET))
            attempt = await relays.expect(lport)
        assert port_is_free(lport + OFFSET, socket.SOCK_DGRAM)
        lab.udp.claim(lport + OFFSET, "its holder")
        lab.udp.release(lport + OFFSET, "its holder")
        assert not port_is_free(lport + OFFSET, socket.SOCK_DGRAM)
        relays.finish(attempt)
        assert port_is_free(lport + OFFSET, socket.SOCK_DGRAM)

    run(main())


def test_a_restart_inherits_no_half_finished_guard() -> None:
    async def main() -> None:
        lab, lport = Kernel(Settings()), some_lport()
        relays = Relays(lab)
        first = await relays.expect(lport)
        second = await relays.expect(lport)
        relays.finish(first)
        assert not port_is_free(lport + OFFSET, socket.SOCK_DGRAM)
        relays.finish(second)
        assert port_is_free(lport + OFFSET, socket.SOCK_DGRAM)

    run(main())


def test_vpcs_on_tap_devices_start_one_after_the_other() -> None:
    async def main() -> None:
        relays = Relays(Kernel(Settings()))
        first = await relays.expect(None)
        second = asyncio.create_task(relays.expect(None))
        await asyncio.sleep(0)
        assert not second.done()
        relays.finish(first)
        relays.finish(await second)

    run(main())


def test_the_port_after_the_last_wraps_around_as_in_vpcs() -> None:
    async def main() -> None:
        relays = Relays(Kernel(Settings()))
        attempt = await relays.expect(65535)
        assert attempt.number == 8
        relays.finish(attempt)

    run(main())
