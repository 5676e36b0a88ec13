"""Ports that seem taken because a program on its way has a copy of every socket of ours (`Terminals.comes_free`)."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from children import SH, child
from labplane.emulators import terminals
from labplane.emulators.terminals import Terminals


class Port:
    """A port that is free at the given look, and how often somebody looked."""

    def __init__(self, free_at: float) -> None:
        self.free_at = free_at
        self.looks = 0

    def is_free(self) -> bool:
        self.looks += 1
        return self.looks >= self.free_at


NEVER = float("inf")


def test_what_is_free_is_so_at_the_first_look(run: Callable[[Any], Any]) -> None:
    port = Port(1)
    assert run(Terminals().comes_free(port.is_free)) is True
    assert port.looks == 1


def test_a_stranger_is_not_waited_for_when_nothing_was_started(run: Callable[[Any], Any]) -> None:
    port = Port(2)
    assert run(Terminals().comes_free(port.is_free)) is False
    assert port.looks == 1


def test_a_copy_of_a_program_that_was_just_started_is_waited_for(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> bool:
        async with child(tmp_path, SH, "-c", "read x") as one:
            return await one.terminals.comes_free(Port(5).is_free)

    assert run(main()) is True


def test_a_copy_of_a_program_that_is_being_started_is_waited_for(tmp_path: Path, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        terminals, port = Terminals(), Port(NEVER)
        nobody: Any = lambda _: None  # noqa: E731
        spawning = asyncio.ensure_future(
            terminals.spawn([SH, "-c", "read x"], cwd=tmp_path, on_output=nobody, on_exit=nobody)
        )
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(terminals.comes_free(port.is_free))
        process = await spawning
        assert not waiting.done()
        port.free_at = 0
        assert await waiting is True
        await process.stop()

    run(main())


def test_a_stranger_is_found_out_some_time_after_the_last_start(
    tmp_path: Path, run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "COPIES_SECONDS", 0.02)

    async def main() -> None:
        port = Port(NEVER)
        async with child(tmp_path, SH, "-c", "read x") as one:
            assert await one.terminals.comes_free(port.is_free) is False
            assert port.looks > 1

    run(main())


def test_a_failed_start_counts_as_over(
    tmp_path: Path, run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "COPIES_SECONDS", 0.02)

    async def main() -> None:
        terminals = Terminals()
        nobody: Any = lambda _: None  # noqa: E731
        with pytest.raises(FileNotFoundError):
            await terminals.spawn(["/no/such/program"], cwd=tmp_path, on_output=nobody, on_exit=nobody)
        assert await terminals.comes_free(Port(NEVER).is_free) is False

    run(main())


def test_a_port_that_a_stranger_has_is_given_up_although_programs_keep_being_started(
    tmp_path: Path, run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "SPAWN_SECONDS", 0.2)

    async def main() -> bool:
        terminals = Terminals()
        terminals._being_spawned = 1  # and always one more
        return await terminals.comes_free(lambda: False)

    assert run(main()) is False
