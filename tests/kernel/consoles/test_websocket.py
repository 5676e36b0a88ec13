"""What waits to be sent over a WebSocket is bounded: who reads too slowly is hung up, and nobody waits for it."""

import asyncio

from labplane.consoles.websocket import BACKLOG, SocketViewer


def test_what_is_shown_comes_in_order_and_together() -> None:
    async def main() -> None:
        viewer = SocketViewer()
        viewer.send(b"one ")
        viewer.send(b"two")
        assert await viewer.next() == b"one two"
        waiting = asyncio.create_task(viewer.next())
        await asyncio.sleep(0)
        viewer.send(b"three")
        assert await waiting == b"three"
        viewer.send(b"last")
        viewer.hang_up()
        viewer.send(b"too late")
        assert (await viewer.next(), await viewer.next()) == (b"last", None)
        assert not viewer.lagged

    asyncio.run(main())


def test_who_lags_is_hung_up() -> None:
    async def main() -> None:
        viewer = SocketViewer()
        for _ in range(BACKLOG // 1024 + 1):
            viewer.send(b"x" * 1024)
        assert viewer.lagged
        assert await viewer.next() is None

    asyncio.run(main())


def test_a_scrollback_longer_than_that_is_still_shown() -> None:
    async def main() -> None:
        viewer = SocketViewer()
        viewer.send(b"x" * (BACKLOG + 1))
        assert await viewer.next() == b"x" * (BACKLOG + 1)

    asyncio.run(main())
