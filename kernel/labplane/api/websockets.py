"""WebSocket routes: ids are looked up before a connection is accepted, and a connection is closed with a reason."""

import logging
from contextlib import suppress
from typing import Any

from starlette.routing import BaseRoute, Match, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from labplane.api.replies import crash, envelope
from labplane.api.requests import Directory, look_up
from labplane.api.route import WEBSOCKET, Request, Route
from labplane.api.table import RouteTable
from labplane.errors import LabError, answer_to

log = logging.getLogger("labplane")

INTERNAL_ERROR = 1011
LONGEST_REASON = 123


def socket_routes(table: RouteTable, lab: Directory) -> list[BaseRoute]:
    """The WebSocket routes of `table`, for Starlette."""
    return [_Path(route.path, _Socket(route, lab)) for route in table.routes if route.method == WEBSOCKET]


class _Path(WebSocketRoute):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        try:
            return super().matches(scope)
        except ValueError:  # a number of thousands of digits
            return Match.NONE, {}


class _Socket:
    """One WebSocket route, as an ASGI application.

    A LabError before the endpoint has accepted is an HTTP reply with its status and envelope; after that the connection
    is closed with the code 4000 + status, 1011 for a bug. No VM's lock is held.
    """

    def __init__(self, route: Route, lab: Directory) -> None:
        self._route = route
        self._lab = lab

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        path: dict[str, Any] = scope["path_params"]
        try:
            vm = look_up(self._lab, path, self._route.kind)
            await self._route.endpoint(Request({}, path, vm, scope), websocket)
            error = None
        except WebSocketDisconnect:  # the client has left, which is an end like any other
            return
        except LabError as refused:
            error = refused
        except Exception as crashed:
            error = answer_to(crashed)
            if error is None:
                error = LabError("labplane failed at this connection; its log says why.")
            log.error("WebSocket %s crashed", scope["path"], exc_info=crashed)
        with suppress(WebSocketDisconnect):
            await _end(websocket, error)


async def _end(websocket: WebSocket, error: LabError | None) -> None:
    if websocket.application_state == WebSocketState.CONNECTED:
        code = 1000 if error is None else INTERNAL_ERROR if error.status == 500 else 4000 + error.status
        reason = str(error or "").encode()[:LONGEST_REASON].decode(errors="ignore")
        await websocket.close(code, reason)
    elif websocket.application_state == WebSocketState.CONNECTING:
        await websocket.send_denial_response(crash() if error is None else envelope(error))
