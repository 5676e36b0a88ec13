"""The queue of launches: a few go at a time, so that each is short, in an order in which they do not wait in vain."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

OVERDUE_SECONDS = 0.25

Rank = Callable[[int | None], tuple[int, float]]


class Launches:
    """At most `at_once` launches, not counting those that have taken longer than `OVERDUE_SECONDS`.

    rank: gives the rank of a launch by its lport, anew for each turn; of the waiting ones the lowest is next.
    """

    def __init__(self, at_once: int, rank: Rank) -> None:
        self._free = at_once
        self._rank = rank
        self._waiting: dict[asyncio.Future[None], int | None] = {}

    @asynccontextmanager
    async def slot(self, lport: int | None) -> AsyncIterator[None]:
        """Wait for a turn; the next launch gets one when the block is left, or overdue."""
        await self._turn(lport)
        overdue = False

        def make_room() -> None:
            nonlocal overdue
            overdue = True
            self._give_back()

        timer = asyncio.get_running_loop().call_later(OVERDUE_SECONDS, make_room)
        try:
            yield
        finally:
            timer.cancel()
            if not overdue:
                self._give_back()

    async def _turn(self, lport: int | None) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = lport
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                del self._waiting[turn]
            else:
                self._give_back()
            raise

    def _give_back(self) -> None:
        waiting = [turn for turn in self._waiting if not turn.done()]
        if waiting:
            turn = min(waiting, key=lambda one: self._rank(self._waiting[one]))
            del self._waiting[turn]
            turn.set_result(None)
        else:
            self._free += 1
