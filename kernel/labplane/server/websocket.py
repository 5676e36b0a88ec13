"""The WebSocket connection: uvicorn's, with limits on waiting for its client."""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from labplane.server.limits import Limits, StallTimer


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket, aborted when its client does not read."""

    _stall_timer: StallTimer

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        self._stall_timer = StallTimer(transport, self._limits.stall_seconds)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stall_timer.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer.start()

    def resume_writing(self) -> None:
        self._stall_timer.stop()
        super().resume_writing()
