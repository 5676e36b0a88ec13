"""Connections that are given up when they keep the server waiting, and no more of them than are allowed."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from labplane.api.replies import envelope
from labplane.errors import BadRequest, Busy, HeadTooLarge, LabError, TooSlow

LINGER = 2.0


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


class Unread:
    """Cuts off a client that takes nothing of what waits for it."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """From now on something waits for the client."""
        if self._timer is None:
            waiting = self._transport.get_write_buffer_size()
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look_again, waiting)

    def forget(self) -> None:
        """Nothing does any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self, before: int) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() < before:
            self.watch()
        else:
            self._transport.abort()


class Connection(HttpToolsProtocol):
    """uvicorn's, within limits. Whatever is refused here is told when the replies before it are through.

    What every request passes calls uvicorn's by the class's name, and there is little of it: six times super() would be
    2 % of a request's time. How far a request has come is seen from uvicorn's `scope`, which is new with each request,
    and its `cycle`, which gets that scope when the head is complete.
    """

    _unread: Unread

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._head = 0  # at most so many bytes are of the head that is not complete yet
        self._shared = 0  # and so many of them may be of the request before it
        self._may_be_too_large = False
        self._complete: Any = None  # the scope of the newest request that came whole
        self._patience: asyncio.TimerHandle | None = None
        self._for_head = True
        self._answering: RequestResponseCycle | None = None  # `cycle` is the newest one, which may have to wait for it
        self._refusal: LabError | None = None
        self._is_leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self._unread = Unread(transport, self._limits.stall_seconds)
        if len(self.connections) > self._limits.connections:
            self._refuse(Busy(f"This server takes {self._limits.connections} connections at once. Try again later."))
        else:
            self._wait(for_head=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._unread.forget()
        self._answer_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self._is_leaving:
            return
        if self._head + len(data) > self._limits.head:
            self._may_be_too_large = True
        before = self._complete
        HttpToolsProtocol.data_received(self, data)
        if self._refusal is not None:
            return
        # Most requests come whole, and then there is nothing to wait for.
        if self.scope is self._complete is not before:
            self._head = self._shared = 0
            if self._patience is not None:
                self._stop_waiting()
        elif self._is_in_body():
            self._head = self._shared = 0
            self._wait(for_head=False)
        else:
            if self._complete is before:
                self._head += len(data)
            else:
                self._head = self._shared = len(data)
            if self._head - self._shared > self._limits.head:
                self._refuse(self._too_large())
            elif self._patience is None or not self._for_head:
                self._wait(for_head=True)

    def on_message_complete(self) -> None:
        self._complete = self.scope
        HttpToolsProtocol.on_message_complete(self)

    def on_response_complete(self) -> None:
        if self._is_leaving:
            return
        HttpToolsProtocol.on_response_complete(self)
        if self.transport.is_closing():
            self._unread.watch()
        elif self._refusal is not None and self._is_its_turn():
            self._part(self._refusal)

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("What was sent is no HTTP request that can be understood."))

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        if self._is_too_large(self.url, self.headers):
            self._refuse(self._too_large())
        elif self._is_answering():
            self._refuse(BadRequest("A WebSocket has to wait for the replies to the requests before it."))
        else:
            super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.watch()

    def resume_writing(self) -> None:
        self._unread.forget()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        if self._may_be_too_large:
            scope = cycle.scope
            if self._is_too_large(scope["raw_path"] + scope["query_string"], scope["headers"]):
                app, cycle.keep_alive = envelope(self._too_large()), False
        if not cycle.keep_alive:
            cycle.transport = cast(Any, _Last(self.transport, self._end))
        HttpToolsProtocol._start_asgi_task(self, cycle, app)

    def _is_answering(self) -> bool:
        return self._answering is not None and not self._answering.response_complete

    def _is_its_turn(self) -> bool:
        """Whether the next reply is the one to what the client sent last."""
        return not self._is_answering() or (self._answering is self.cycle and self._is_in_body())

    def _is_in_body(self) -> bool:
        """Whether a request's head is complete and its body is not."""
        return self.cycle is not None and self.cycle.scope is self.scope is not self._complete

    def _answer_no_more(self) -> None:
        """Let the application know, as uvicorn does for the newest request only."""
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.waiting_for_100_continue = False
            self._answering.message_event.set()

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
        in_between = self.scope is self._complete  # where no more than empty lines came
        if self.flow.read_paused or (in_between and self._is_answering()):  # it is the server that is slow
            self._wait(for_head=self._for_head)
        elif in_between:
            self._close()
        else:
            self._refuse(TooSlow(f"Nothing more of the request came for {seconds:g} seconds."))

    def _is_too_large(self, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        size = len(target) + sum(len(name) + len(value) + 4 for name, value in headers)
        return size > self._limits.head

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"The head of the request is larger than {self._limits.head} bytes.")

    def _refuse(self, error: LabError) -> None:
        """Take nothing more from the client; tell it why, in its turn, and hang up."""
        self._refusal = error
        self._stop_waiting()
        if self._is_its_turn():
            self._part(error)

    def _part(self, error: LabError) -> None:
        has_a_reply = self._is_in_body() and self.cycle.response_started
        if not has_a_reply:
            self._answer_no_more()
            reply = envelope(error)
            headers = [*self.server_state.default_headers, *reply.raw_headers, (b"connection", b"close")]
            head = STATUS_LINE[error.status] + b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(head + b"\r\n" + bytes(reply.body))
        self._hang_up(said_all=not has_a_reply)

    def _end(self) -> None:
        """After a reply that is the last."""
        if self.scope is self._complete and not self.pipeline:
            self.transport.close()
        else:
            self._hang_up(said_all=True)

    def _hang_up(self, *, said_all: bool) -> None:
        """Not at once: what the client still sends would undo what it has not read yet (RFC 9112, 9.6)."""
        self._is_leaving = True
        self._stop_waiting()
        if said_all and not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._patience = self.loop.call_later(LINGER, self._close)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
            self._unread.watch()


class Conversation(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, given up when its client does not read."""

    _unread: Unread

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        self._unread = Unread(transport, self._limits.stall_seconds)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unread.forget()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.watch()

    def resume_writing(self) -> None:
        self._unread.forget()
        super().resume_writing()


class _Last:
    """The transport of a connection for its last reply, with another way to close it."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close
