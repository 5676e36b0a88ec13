"""The HTTP connection: uvicorn's, with limits on its number, on its heads and on waiting for its client."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from labplane.api.replies import envelope
from labplane.consoles.sockets import keep_alive
from labplane.errors import BadRequest, HeadTooLarge, LabError, TooSlow
from labplane.server.limits import ConnectionCount, Limits, Place, StallTimer, peer_of

LINGER_SECONDS = 2.0
ONCE = (b"host", b"origin", b"authorization", b"content-length", b"transfer-encoding", b"expect")


class Connection(HttpToolsProtocol):
    """One HTTP connection within its limits. A refusal is sent only after the replies to earlier pipelined requests.

    The methods that every request goes through are few and name uvicorn's class, because six calls of super() would be
    2 % of a request's time. They tell the state of a request from two attributes of uvicorn: `scope` is new with each
    request, and `cycle` gets that scope when the head is complete.
    """

    _stall_timer: StallTimer

    def __init__(self, limits: Limits, count: ConnectionCount, place: Place | None = None, **given: Any) -> None:
        """place: the connection's place in `count`, when it was counted before; it is left when it is lost."""
        super().__init__(**given)
        self._limits = limits
        self._count = count
        self._place = place
        self._bytes_without_body = 0  # read of an incomplete body since its last byte: sizes of chunks, or trailers
        self._read_body = False
        self._head_bytes = 0  # an upper bound of the bytes of the incomplete head
        self._shared_bytes = 0  # those of them that may belong to the request before it
        self._may_be_too_large = False
        self._whole_scope: Any = None  # the scope of the newest request whose body is complete
        self._timer: asyncio.TimerHandle | None = None
        self._timer_is_for_head = True
        self._answering: RequestResponseCycle | None = None  # `cycle` is the newest, and may be queued behind it
        self._refusal: LabError | None = None
        self._is_lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self._stall_timer = StallTimer(transport, self._limits.stall_seconds)
        keep_alive(transport.get_extra_info("socket"), self._limits.keepalive)
        if self._place is None:
            self._place = self._count.enter(peer_of(transport))
        if self._place.is_flooded:
            transport.abort()
        elif self._place.refusal is not None:
            self._refuse(self._place.refusal)
        else:
            self._set_timer(for_head=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stall_timer.stop()
        self._disconnect_cycle()
        if self._place is not None:
            self._place.leave()
        self._unset_keepalive_if_required()  # which uvicorn leaves for 75 seconds when the client reset the connection
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self._is_lingering:
            return
        if self._head_bytes + len(data) > self._limits.head:
            self._may_be_too_large = True
        before = self._whole_scope
        self._read_body = False
        HttpToolsProtocol.data_received(self, data)
        if self._refusal is not None:
            return
        # Most requests arrive whole: then no timer is needed.
        if self.scope is self._whole_scope is not before:
            self._head_bytes = self._shared_bytes = self._bytes_without_body = 0
            if self._timer is not None:
                self._stop_timer()
        elif self._is_in_body():
            self._head_bytes = self._shared_bytes = 0
            self._bytes_without_body = 0 if self._read_body else self._bytes_without_body + len(data)
            if self._bytes_without_body > self._limits.head:
                self._refuse(HeadTooLarge(f"The trailers of the request are larger than {self._limits.head} bytes."))
            else:
                self._set_timer(for_head=False)
        else:
            if self._whole_scope is before:
                self._head_bytes += len(data)
            else:
                self._head_bytes = self._shared_bytes = len(data)
            if self._head_bytes - self._shared_bytes > self._limits.head:
                self._refuse(self._too_large())
            elif self._timer is None or not self._timer_is_for_head:
                self._set_timer(for_head=True)

    def on_headers_complete(self) -> None:
        HttpToolsProtocol.on_headers_complete(self)
        if self.cycle is not None and self.cycle.scope is self.scope:
            # What uvicorn appends after this are trailers, which no one may take for headers (RFC 9110, 6.5.1).
            self.headers = _DROPPED
            self._bytes_without_body = 0

    def on_body(self, body: bytes) -> None:
        self._read_body = True
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        self._whole_scope = self.scope
        HttpToolsProtocol.on_message_complete(self)

    def on_response_complete(self) -> None:
        if self._is_lingering:
            return
        HttpToolsProtocol.on_response_complete(self)
        if self.transport.is_closing():
            self._stall_timer.start()
        elif self._refusal is not None and self._is_its_turn():
            self._send_refusal(self._refusal)

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("What was sent is no HTTP request that can be understood."))

    def handle_websocket_upgrade(self) -> None:
        self._stop_timer()
        if self._is_too_large(self.url, self.headers):
            self._refuse(self._too_large())
        elif (fault := _fault_in(self.scope)) is not None:
            self._refuse(BadRequest(fault))
        elif any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
            self._refuse(BadRequest("A WebSocket's handshake has no body."))
        elif self._is_answering():
            self._refuse(BadRequest("A WebSocket has to wait for the replies to the requests before it."))
        else:
            if self._place is not None:
                self._place.leave()  # the WebSocket counts itself
            super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer.start()

    def resume_writing(self) -> None:
        self._stall_timer.stop()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        if self._may_be_too_large:
            scope = cycle.scope
            if self._is_too_large(scope["raw_path"] + scope["query_string"], scope["headers"]):
                app, cycle.keep_alive = envelope(self._too_large()), False
        if app is self.app and (fault := _fault_in(cycle.scope)) is not None:
            app, cycle.keep_alive = envelope(BadRequest(fault)), False
        close = self.transport.close if cycle.keep_alive else self._close_after_reply
        cycle.transport = cast(Any, _ReplyTransport(self.transport, close))
        HttpToolsProtocol._start_asgi_task(self, cycle, app)

    def _is_answering(self) -> bool:
        return self._answering is not None and not self._answering.response_complete

    def _is_its_turn(self) -> bool:
        """Whether the next reply answers the request that the client sent last."""
        return not self._is_answering() or (self._answering is self.cycle and self._is_in_body())

    def _is_in_body(self) -> bool:
        """Whether a request's head is complete and its body is not."""
        return self.cycle is not None and self.cycle.scope is self.scope is not self._whole_scope

    def _disconnect_cycle(self) -> None:
        """Tell the application that its client is gone, which uvicorn does for the newest request only."""
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.waiting_for_100_continue = False
            self._answering.message_event.set()

    def _set_timer(self, *, for_head: bool) -> None:
        self._stop_timer()
        self._timer_is_for_head = for_head
        seconds = self._limits.head_seconds if for_head else self._limits.stall_seconds
        self._timer = self.loop.call_later(seconds, self._time_out, seconds)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self, seconds: float) -> None:
        in_between = self.scope is self._whole_scope  # between two requests, where only empty lines came
        if self.flow.read_paused or (in_between and self._is_answering()):  # the server is slow, not the client
            self._set_timer(for_head=self._timer_is_for_head)
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
        """Read nothing more from the client; send the envelope of `error` in its turn, and close."""
        self._refusal = error
        self._stop_timer()
        if self._is_its_turn():
            self._send_refusal(error)

    def _send_refusal(self, error: LabError) -> None:
        has_a_reply = self._is_in_body() and self.cycle.response_started
        if not has_a_reply:
            self._disconnect_cycle()
            reply = envelope(error)
            headers = [*self.server_state.default_headers, *reply.raw_headers, (b"connection", b"close")]
            head = STATUS_LINE[error.status] + b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(head + b"\r\n" + bytes(reply.body))
        self._linger(reply_is_whole=not has_a_reply)

    def _close_after_reply(self) -> None:
        """Close the connection after its last reply."""
        if self.scope is self._whole_scope and not self.pipeline:
            self.transport.close()
        else:
            self._linger(reply_is_whole=True)

    def _linger(self, *, reply_is_whole: bool) -> None:
        """Close a little later: bytes that arrive on a closed socket reset it, and the client would lose the end of the
        reply (RFC 9112, 9.6).
        """
        self._is_lingering = True
        self._stop_timer()
        if reply_is_whole and not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(LINGER_SECONDS, self._close)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
            self._stall_timer.start()


class _ReplyTransport:
    """The transport of a connection for one reply, whose head is sent with what follows in the same turn of the loop.

    uvicorn writes head and body apart, and uvloop sends each at once: two system calls and two packets, for which the
    client wakes up twice.

    close: is called in place of the transport's.
    """

    __slots__ = ("_close", "_head", "_later", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.is_closing = transport.is_closing
        self._transport, self._close = transport, close
        self._head: bytes | None = None  # while it waits for more
        self._later: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        if self._later is None:
            self._head, self._later = data, asyncio.get_running_loop().call_soon(self._send_head)
        elif self._head is None:
            self._transport.write(data)
        else:
            self._later.cancel()
            head, self._head = self._head, None
            self._transport.write(head + data)

    def close(self) -> None:
        self._send_head()
        self._close()

    def _send_head(self) -> None:
        if self._head is not None:
            self._transport.write(self._head)
            self._head = None


class _Dropped(list[tuple[bytes, bytes]]):
    """A list of headers that stays empty."""

    def append(self, _header: tuple[bytes, bytes]) -> None:
        pass


_DROPPED = _Dropped()


def _fault_in(scope: Any) -> str | None:
    """What is wrong with the headers of a request, so that two readers could take it for two things; None if nothing.

    RFC 9112, 3.2 (Host) and RFC 9110, 5.3 (headers that are no lists).
    """
    names = [name for name, _ in scope["headers"]]
    if b"host" not in names and scope["http_version"] == "1.1":
        return "A request of HTTP/1.1 needs a Host header."
    if len(names) == len(set(names)):
        return None
    for name in ONCE:
        if names.count(name) > 1:
            return f"The request has more than one {name.decode().title()} header."
    return None
