"""Limits for clients: of a connection, of waiting for a client that does not read, of all requests together."""

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from labplane.api.replies import envelope
from labplane.errors import Busy


@dataclass(frozen=True)
class Limits:
    """The limits of connections.

    connections:   how many there may be at once.
    head:          bytes of a request before its body.
    head_seconds:  from the first byte of a head, or from the connection's beginning, to the last byte.
    stall_seconds: without a further byte of an incomplete body, or with a reply that the client does not read.
    """

    connections: int
    head: int
    head_seconds: float
    stall_seconds: float


class StallTimer:
    """Aborts a connection whose client reads nothing of what waits for it for `seconds`."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Bytes wait for the client from now on."""
        if self._timer is None:
            waiting = self._transport.get_write_buffer_size()
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look_again, waiting)

    def stop(self) -> None:
        """No bytes wait for the client any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self, before: int) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() < before:
            self.start()
        else:
            self._transport.abort()


class RequestLimit:
    """Middleware that serves `at_once` requests at once and answers 503 to further ones."""

    def __init__(self, app: ASGIApp, at_once: int) -> None:
        self._app = app
        self._at_once = at_once
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._inside >= self._at_once:
            busy = Busy(f"This server does {self._at_once} requests at once. Try again later.")
            await envelope(busy)(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
