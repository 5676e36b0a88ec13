"""What waits to be sent over a WebSocket is bounded: who reads too slowly is hung up, and nobody waits for it."""

import asyncio
import json

from hypothesis import example, given, strategies as st

from labplane.consoles.console import TAIL, Console
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


class Client:
    """A client that counts: what is on its screen, which it clears when it cannot go on where it was."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.screen, self.cleared = b"", 0
        self.run, self.next = "", 0
        self.come()

    def come(self) -> None:
        self.fresh = True
        self.viewer = SocketViewer(self.console)
        self.console.attach(self.viewer, self.next if self.run == self.console.run else None)
        self.viewer.mark()

    async def leave(self) -> None:
        self.console.detach(self.viewer)
        self.viewer.hang_up()
        while (piece := await self.viewer.next()) is not None:
            if isinstance(piece, bytes):
                self.screen += piece
                self.next += len(piece)
                continue
            told = json.loads(piece)
            if self.fresh and (told["run"], told["offset"]) != (self.run, self.next):
                self.screen, self.cleared = b"", self.cleared + 1
            self.run, self.next, self.fresh = told["run"], told["offset"], False


@given(st.lists(st.binary(max_size=300), max_size=20), st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
@example([b"four", b"fiver", b"six or"], {2}, {2})  # as many bytes are shown as there are in the words that are not
def test_who_comes_again_with_a_number_gets_each_byte_once(
    pieces: list[bytes], hidden: set[int], left: set[int]
) -> None:
    """M-19: words that nobody sees have numbers too, and one who missed them begins anew."""
    words = b"NOT daemon mode"

    async def main() -> None:
        console = Console(lambda _: None, leave_on=words)
        client, visible = Client(console), b""
        for index, piece in enumerate(pieces):
            text = piece.replace(b"N", b"n")
            console.feed(text + words if index in hidden else text)
            visible += text
            if index in left:
                await client.leave()
                client.come()
        await client.leave()
        assert client.screen == visible
        assert console.next == len(visible) + len(words) * len(hidden & set(range(len(pieces))))
        assert client.cleared <= 1 + len(hidden)  # when it came first, and where what it missed has a gap

    asyncio.run(main())


def test_a_console_goes_on_where_another_one_ended() -> None:
    """M-19: as after a restart of the server, which finds the latest output again."""

    async def main() -> None:
        printed = b"".join(b"line %d\r\n" % number for number in range(5000))
        first = Console(lambda _: None)
        first.go_on("one", 0)
        client = Client(first)
        first.feed(printed[:30_000])
        await client.leave()
        second = Console(lambda _: None)
        second.go_on("one", 20_000)
        second.feed(printed[20_000:36_000])
        client.console = second
        client.come()
        second.feed(printed[36_000:])
        await client.leave()
        assert (client.screen, client.cleared) == (printed, 1)
        client.next -= TAIL + 1  # a byte that is forgotten
        client.come()
        await client.leave()
        assert client.cleared == 2
        assert printed.endswith(client.screen[-1000:])

    asyncio.run(main())
