"""A few launches at a time, so that each is short; those that wait go in an order that spares them each other."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

OVERDUE_SECONDS = 0.25


class Launches:
    """At most `at_once` launches, not counting those that have taken longer than `OVERDUE_SECONDS`.

    Of those that wait the one with the highest lport is next: its port is then bound before a VPCS nine below comes up
    that would have it for its relay (Q-5). In rising order, every tenth VPCS would have to wait for that one's attempt.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def slot(self, lport: int | None) -> AsyncIterator[None]:
        """Wait for a turn; leaving it lets the next one go."""
        await self._turn(lport or 0)
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

    async def _turn(self, lport: int) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-lport, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
