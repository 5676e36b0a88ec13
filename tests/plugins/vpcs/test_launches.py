"""A few launches at a time: whoever waits gets a turn, and nobody's trouble costs one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from labplane_vpcs import launches
from labplane_vpcs.launches import Launches

Work = Callable[[int], Coroutine[Any, Any, None]]


def highest_first(lport: int | None) -> tuple[int, float]:
    return 0, -(lport or 0)


class Crowd:
    """Launches, each a task of its own, and who is in and who was."""

    def __init__(self, at_once: int) -> None:
        self.launches = Launches(at_once, highest_first)
        self.inside: set[int | None] = set()
        self.most = 0
        self.done: list[int | None] = []
        self.doors: dict[int | None, asyncio.Event] = {}

    def come(self, lport: int | None, error: Exception | None = None) -> asyncio.Task[None]:
        """A launch that stays until `let_go`, and ends with `error`, if there is one."""
        self.doors[lport] = asyncio.Event()

        async def launch() -> None:
            async with self.launches.slot(lport):
                self.inside.add(lport)
                self.most = max(self.most, len(self.inside))
                try:
                    await self.doors[lport].wait()
                    if error is not None:
                        raise error
                finally:
                    self.inside.remove(lport)
                    self.done.append(lport)

        return asyncio.create_task(launch())

    async def let_go(self, *lports: int | None) -> None:
        for lport in lports:
            self.doors[lport].set()
        await settled()


async def settled() -> None:
    """Let every task go as far as it can without a clock."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(main: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(20):
            await main

    asyncio.run(in_time())


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launch is overdue, however slow the machine."""
    monkeypatch.setattr(launches, "OVERDUE_SECONDS", 1000.0)


@pytest.mark.usefixtures("patient")
def test_never_more_than_that_many_are_in_and_everybody_gets_a_turn() -> None:
    async def main() -> None:
        crowd = Crowd(3)
        tasks = [crowd.come(lport) for lport in range(100, 120)]
        await settled()
        assert len(crowd.inside) == 3
        while crowd.inside:
            await crowd.let_go(*crowd.inside)
        await asyncio.gather(*tasks)
        assert crowd.most == 3
        assert sorted(lport or 0 for lport in crowd.done) == list(range(100, 120))

    run(main())


@pytest.mark.usefixtures("patient")
def test_whoever_finds_a_free_slot_goes_at_once() -> None:
    async def main() -> None:
        crowd = Crowd(2)
        tasks = [crowd.come(100), crowd.come(101)]
        await settled()
        assert crowd.inside == {100, 101}
        await crowd.let_go(100)
        tasks.append(crowd.come(102))
        await settled()
        assert crowd.inside == {101, 102}
        await crowd.let_go(101, 102)
        await asyncio.gather(*tasks)

    run(main())


@pytest.mark.usefixtures("patient")
def test_a_vpcs_on_a_tap_device_has_no_lport_and_a_turn_all_the_same() -> None:
    async def main() -> None:
        crowd = Crowd(1)
        tasks = [crowd.come(lport) for lport in (100, None, 101)]
        await settled()
        assert crowd.inside == {100}
        await crowd.let_go(100, None, 101)
        await asyncio.gather(*tasks)
        assert set(crowd.done) == {100, 101, None}

    run(main())


@pytest.mark.usefixtures("patient")
def test_a_launch_that_fails_gives_its_slot_back() -> None:
    async def main() -> None:
        crowd = Crowd(1)
        failing, next_one = crowd.come(100, ValueError("no")), crowd.come(101)
        await settled()
        await crowd.let_go(100)
        assert crowd.inside == {101}
        await crowd.let_go(101)
        await next_one
        with pytest.raises(ValueError, match="no"):
            await failing

    run(main())


@pytest.mark.usefixtures("patient")
def test_a_launch_that_is_cancelled_gives_its_slot_back() -> None:
    async def main() -> None:
        crowd = Crowd(1)
        one, two = crowd.come(100), crowd.come(101)
        await settled()
        one.cancel()
        await settled()
        assert crowd.inside == {101}
        await crowd.let_go(101)
        await two

    run(main())


@pytest.mark.usefixtures("patient")
def test_who_is_cancelled_while_waiting_costs_nobody_a_turn() -> None:
    async def main() -> None:
        crowd = Crowd(1)
        tasks = [crowd.come(lport) for lport in (100, 101, 102)]
        await settled()
        tasks[2].cancel()
        await settled()
        await crowd.let_go(100)
        assert crowd.inside == {101}
        await crowd.let_go(101)
        assert crowd.done == [100, 101]
        tasks.append(crowd.come(103))
        await settled()
        assert crowd.inside == {103}
        await crowd.let_go(103)

    run(main())


@pytest.mark.usefixtures("patient")
def test_who_is_cancelled_with_its_turn_already_given_gives_it_on() -> None:
    async def main() -> None:
        crowd = Crowd(1)
        first, second, third = crowd.come(100), crowd.come(102), crowd.come(101)
        await settled()
        crowd.doors[100].set()
        while not first.done():
            await asyncio.sleep(0)
        assert crowd.inside == set(), "the second has been given the turn, and has not run yet"
        second.cancel()
        await settled()
        assert second.cancelled()
        assert crowd.inside == {101}
        await crowd.let_go(101)
        late = crowd.come(103)
        await settled()
        assert crowd.inside == {103}
        await crowd.let_go(103)
        await asyncio.gather(third, late)

    run(main())


def test_a_launch_that_is_overdue_makes_room_for_one_more_and_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launches, "OVERDUE_SECONDS", 0.01)

    async def main() -> None:
        crowd = Crowd(1)
        slow, other = crowd.come(100), crowd.come(101)
        while crowd.inside != {100, 101}:
            await asyncio.sleep(0.001)
        monkeypatch.setattr(launches, "OVERDUE_SECONDS", 1000.0)
        third, fourth = crowd.come(102), crowd.come(103)
        while len(crowd.inside) < 3:  # 101 is overdue in its turn
            await asyncio.sleep(0.001)
        await crowd.let_go(100, 101)
        assert len(crowd.inside) == 1, "they have given back what they had, once"
        await crowd.let_go(102, 103)
        await asyncio.gather(slow, other, third, fourth)

    run(main())
