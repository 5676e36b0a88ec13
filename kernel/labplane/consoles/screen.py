"""Screens: viewers by VNC, over TCP and WebSocket, each of whom has a stream of its own to the machine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from labplane.consoles.console import Console
from labplane.consoles.listener import Listener
from labplane.consoles.sockets import keep_alive
from labplane.errors import Conflict, LabError

PIECE = 64 * 1024
TOO_MANY = "This screen has {} viewers already."
BINARY = "binary"  # the subprotocol that older VNC clients for browsers ask for

Opened = Callable[[], Awaitable[socket.socket]]


class Screen(Listener):
    """The address at which VNC viewers reach a screen; what they and the machine say (RFC 6143) is passed on as it is.

    opened: gives a connected socket to the machine's VNC server, for one viewer. Raises LabError.
    most:   viewers at once.

    viewers: how many see it.
    """

    def __init__(self, console: Console, opened: Opened, most: int = 64, keepalive: int = 60) -> None:
        super().__init__(console, keepalive, self._protocol)
        self._opened = opened
        self._most = most
        self._idle = keepalive
        self.viewers = 0
        self._over = asyncio.Event()

    async def close(self) -> None:
        """Listen no more, and hang up on all viewers."""
        await super().close()
        self._over.set()

    async def view(self, websocket: WebSocket) -> None:
        """Show the screen to the client of `websocket`, in binary frames, until either side leaves.

        Raises LabError before it is accepted.
        """
        async with self._stream() as (reader, writer):
            await websocket.accept(BINARY if BINARY in websocket.scope.get("subprotocols", ()) else None)

            async def shown() -> None:
                while data := await reader.read(PIECE):
                    await websocket.send_bytes(data)

            async def typed() -> None:
                while (message := await websocket.receive())["type"] == "websocket.receive":
                    writer.write(message.get("bytes") or (message.get("text") or "").encode())
                    await writer.drain()

            await self._until_one_ends(shown(), typed())
        if websocket.client_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect):
                await websocket.close(1000)

    def _protocol(self) -> asyncio.Protocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(PIECE), self._serve)

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        keep_alive(back.get_extra_info("socket"), self._idle)
        try:
            with suppress(LabError, ConnectionError):
                async with self._stream() as (reader, writer):
                    await self._until_one_ends(_pass_on(reader, back), _pass_on(near, writer))
        finally:
            back.close()

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A stream to the machine for one more viewer."""
        if self.viewers >= self._most:
            raise Conflict(TOO_MANY.format(self._most))
        self.viewers += 1
        try:
            reader, writer = await asyncio.open_connection(sock=await self._opened(), limit=PIECE)
            try:
                yield reader, writer
            finally:
                writer.close()
        finally:
            self.viewers -= 1

    async def _until_one_ends(self, *directions: Awaitable[object]) -> None:
        """Pass on in all `directions` until one of them ends, or the screen is closed."""
        tasks = [asyncio.ensure_future(direction) for direction in (*directions, self._over.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class NoDoor(Listener):
    """The address of a console that nobody can reach: it is not listened at."""

    @asynccontextmanager
    async def moved(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen nowhere, before as after."""
        yield


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(PIECE):
        sink.write(data)
        await sink.drain()
