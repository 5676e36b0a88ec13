"""The WebSocket connection: uvicorn's, with limits on waiting for its client and on what is kept for it."""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from labplane.server.limits import ConnectionCount, Limits, Place, StallTimer, peer_of


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket. It is aborted when its client does not read, and reads nothing while its client does not."""

    _stall_timer: StallTimer
    _place: Place

    def __init__(self, limits: Limits, count: ConnectionCount, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._count = count
        self._message = bytearray()  # the frames so far of a message in several

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        self._stall_timer = StallTimer(transport, self._limits.stall_seconds)
        self._place = self._count.enter(peer_of(transport))
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stall_timer.stop()
        self._place.leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer.start()
        self.transport.pause_reading()  # each ping that is read asks for a pong that would have to wait in memory

    def resume_writing(self) -> None:
        self._stall_timer.stop()
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> Any:
        message = await super().receive()
        if not self.writable.is_set():
            self.transport.pause_reading()  # uvicorn has just resumed it
        return message

    def handle_cont(self, event: Frame) -> None:
        """Add to the message, in one buffer: in a list of frames each byte could cost a hundred."""
        if self.frames:
            self._message = bytearray(self.frames.pop())
        self._message += event.data
        if event.fin:
            self.frames = [bytes(self._message)]
            self._message = bytearray()
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Pass on a message, or end the conversation with 1007 when its text is not UTF-8 (RFC 6455, 8.1)."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(self.frames[0]):
            self.frames = []
            self.conn.send_close(CloseCode.INVALID_DATA, "not UTF-8")
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()


def _is_text(data: bytes) -> bool:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
