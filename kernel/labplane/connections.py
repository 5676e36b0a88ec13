"""Connections that are given up when they keep the server waiting, and no more of them than are allowed."""

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from labplane.errors import Busy, HeadTooLarge, LabError, TooSlow, envelope

LINGER = 0.5


@dataclass(frozen=True)
class Limits:
    """Of one connection, but for `connections`, how many there may be at once.

    head:          bytes of a request before its body.
    head_seconds:  from its first byte, or from the connection's beginning, to the last of them.
    stall_seconds: without a byte of a body that is not complete, or with a reply that the client does not read.
    """

    connections: int
    head: int
    head_seconds: float
    stall_seconds: float


class Connection(HttpToolsProtocol):
    """uvicorn's, within limits."""

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._head = 0  # bytes that came of the head that is not complete yet
        self._in_head = True
        self._refused = False
        self._patience: asyncio.TimerHandle | None = None
        self._for_head = True
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(Busy(f"This server takes {self._limits.connections} connections at once. Try again later."))
        else:
            self._wait(for_head=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        # Most requests come whole, and then there is nothing to wait for.
        if not self._in_head:
            self._wait(for_head=False)
        elif not self._head:
            self._stop_waiting()
        elif self._head > self._limits.head:
            self._refuse(self._too_large())
        elif self._patience is None or not self._for_head:
            self._wait(for_head=True)

    def on_headers_complete(self) -> None:
        self._in_head = False
        app = self.app
        if self._head > self._limits.head and self._is_too_large():
            self.app = _closing(self._too_large())
        super().on_headers_complete()
        self.app = app

    def on_message_complete(self) -> None:
        self._in_head, self._head = True, 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        if self._is_too_large():
            self._refuse(self._too_large())
        else:
            super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading is None:
            self._reading = self.loop.call_later(self._limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        super().resume_writing()

    def _wait(self, *, for_head: bool) -> None:
        self._stop_waiting()
        self._for_head = for_head
        seconds = self._limits.head_seconds if for_head else self._limits.stall_seconds
        self._patience = self.loop.call_later(seconds, self._give_up, seconds)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self, seconds: float) -> None:
        if self.flow.read_paused:  # it is the server that is slow
            self._wait(for_head=self._for_head)
        elif self._in_head and not self._head:
            self.transport.close()
        else:
            self._refuse(TooSlow(f"Nothing more of the request came for {seconds:g} seconds."))

    def _is_too_large(self) -> bool:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        return size > self._limits.head

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"The head of the request is larger than {self._limits.head} bytes.")

    def _refuse(self, error: LabError) -> None:
        """Tell the client, unless a reply is under way, and hang up; not at once, or its own bytes would undo that."""
        if self._refused:
            return
        self._refused = True
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            reply = envelope(error)
            headers = [*self.server_state.default_headers, *reply.raw_headers, (b"connection", b"close")]
            head = STATUS_LINE[error.status] + b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(head + b"\r\n" + bytes(reply.body))
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self._stop_waiting()
        self._patience = self.loop.call_later(LINGER, self.transport.close)


class Conversation(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, given up when its client does not read."""

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._reading: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading is None:
            self._reading = self.loop.call_later(self._limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        super().resume_writing()


def _closing(error: LabError) -> Response:
    """The reply that tells `error` and is the last on its connection, as an ASGI application."""
    reply = envelope(error)
    reply.headers["Connection"] = "close"
    return reply
