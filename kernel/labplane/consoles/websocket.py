"""A console's viewer over a WebSocket: bytes in binary frames both ways, beginning with the scrollback."""

import asyncio
from collections import deque
from functools import partial

from starlette.websockets import WebSocket

from labplane.consoles.console import Console
from labplane.consoles.keyboard import Keyboard

BACKLOG = 256 * 1024
TOO_SLOW = 1013


async def view(console: Console, websocket: WebSocket) -> None:
    """Show `console` to the client of `websocket` until the console is closed or the client leaves."""
    await websocket.accept()
    viewer = SocketViewer()
    console.attach(viewer)
    typing = asyncio.ensure_future(_type(viewer, console, websocket))
    try:
        while (data := await viewer.next()) is not None:
            await websocket.send_bytes(data)
        if not typing.done():
            await websocket.close(TOO_SLOW if viewer.lagged else 1000)
    finally:
        console.detach(viewer)
        typing.cancel()


class SocketViewer:
    """A viewer whose output waits here until the WebSocket has sent it.

    lagged: it was hung up because more than `BACKLOG` bytes waited.
    """

    def __init__(self) -> None:
        self.lagged = False
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._over = False
        self._news = asyncio.Event()

    def send(self, data: bytes) -> None:
        if self._over:
            return
        if self._size + len(data) > BACKLOG and self._pieces:
            self.lagged = True
            self._pieces.clear()
            self.hang_up()
            return
        self._pieces.append(data)
        self._size += len(data)
        self._news.set()

    def hang_up(self) -> None:
        self._over = True
        self._news.set()

    async def next(self) -> bytes | None:
        """All output that waits; None when the viewer was hung up and nothing is left."""
        while not self._pieces and not self._over:
            self._news.clear()
            await self._news.wait()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return data or None


async def _type(viewer: SocketViewer, console: Console, websocket: WebSocket) -> None:
    """Pass on what is typed, in binary or text frames, until the viewer leaves."""
    keyboard = Keyboard(partial(console.typed, viewer))
    while (message := await websocket.receive())["type"] == "websocket.receive":
        keyboard.feed(message.get("bytes") or (message.get("text") or "").encode())
    viewer.hang_up()
