"""A console's viewer over a WebSocket: bytes in binary frames both ways, beginning with the scrollback."""

import asyncio
import json
import re
from collections import deque
from functools import partial

from starlette.websockets import WebSocket

from labplane.consoles.console import Console
from labplane.consoles.keyboard import Keyboard

BACKLOG = 256 * 1024
TOO_SLOW = 1013
FROM = re.compile(r"(?P<run>[^:]{1,64}):(?P<number>[0-9]{1,18})")


async def view(console: Console, websocket: WebSocket) -> None:
    """Show `console` to the client of `websocket` until the console is closed or the client leaves.

    With ``?from=`` it is told the numbers of bytes, with ``?from=RUN:NUMBER`` it goes on with that byte (M-19).
    """
    await websocket.accept()
    wanted = websocket.query_params.get("from")
    viewer = SocketViewer(console if wanted is not None else None)
    known = FROM.fullmatch(wanted or "")
    console.attach(viewer, int(known["number"]) if known is not None and known["run"] == console.run else None)
    viewer.mark()
    typing = asyncio.ensure_future(_type(viewer, console, websocket))
    try:
        while (data := await viewer.next()) is not None:
            await (websocket.send_text(data) if isinstance(data, str) else websocket.send_bytes(data))
        if not typing.done():
            await websocket.close(TOO_SLOW if viewer.lagged else 1000)
    finally:
        console.detach(viewer)
        typing.cancel()


class SocketViewer:
    """A viewer whose output waits here until the WebSocket has sent it.

    numbered: the console whose numbers it is told, at the beginning and wherever bytes are left out; None if it is not.
    lagged:   it was hung up because more than `BACKLOG` bytes waited.
    """

    def __init__(self, numbered: Console | None = None) -> None:
        self.lagged = False
        self._numbered = numbered
        self._expected: int | None = None
        self._pieces: deque[bytes | str] = deque()
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
        self.mark()
        self._pieces.append(data)
        self._size += len(data)
        if self._expected is not None:
            self._expected += len(data)
        self._news.set()

    def mark(self) -> None:
        """Tell the number of the byte that comes next, unless it is known."""
        if self._numbered is None:
            return
        number = self._numbered.here if self._expected is None else max(self._numbered.here, self._expected)
        if number != self._expected:
            self._pieces.append(json.dumps({"run": self._numbered.run, "offset": number}))
            self._expected = number
            self._news.set()

    def hang_up(self) -> None:
        self._over = True
        self._news.set()

    async def next(self) -> bytes | str | None:
        """All output that waits, or a text; None when the viewer was hung up and nothing is left."""
        while not self._pieces and not self._over:
            self._news.clear()
            await self._news.wait()
        if self._pieces and isinstance(self._pieces[0], str):
            return self._pieces.popleft()
        data = bytearray()
        while self._pieces and isinstance(piece := self._pieces[0], bytes):
            data += piece
            self._pieces.popleft()
        self._size -= len(data)
        return bytes(data) or None


async def _type(viewer: SocketViewer, console: Console, websocket: WebSocket) -> None:
    """Pass on what is typed, in binary or text frames, until the viewer leaves."""
    keyboard = Keyboard(partial(console.typed, viewer))
    while (message := await websocket.receive())["type"] == "websocket.receive":
        keyboard.feed(message.get("bytes") or (message.get("text") or "").encode())
    viewer.hang_up()
