"""Keeps web pages away from a server that trusts whoever reaches it (B-17). Raw ASGI, so that no plugin forgets it."""

import ipaddress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from labplane.errors import Forbidden, envelope


class Guard:
    """Refuses a request that a web page of another origin sent, or that reached loopback under a foreign name.

    app:  what is guarded.
    host: the address that the server binds; on a loopback address the ``Host`` header must name loopback too,
          so that a rebound DNS name is no way in.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._loopback_only = is_loopback(host)
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            host = origin = None
            for name, value in scope["headers"]:
                if name == b"host":
                    host = value
                elif name == b"origin":
                    origin = value
            if (reason := self._complaint(host, origin)) is not None:
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008})
                else:
                    await envelope(Forbidden(reason))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _complaint(self, host: bytes | None, origin: bytes | None) -> str | None:
        if origin is not None:
            scheme, found, authority = origin.lower().partition(b"://")
            if not scheme or not found or host is None or authority != host.lower():
                return "Requests from web pages of another origin are refused."
        if self._loopback_only and host is not None and host not in self._known:
            if not is_loopback(_name_in(host)):
                return "This server listens on loopback only; address it as localhost or 127.0.0.1."
            if len(self._known) < 16:
                self._known.add(host)
        return None


def _name_in(host: bytes) -> str:
    """The name in a ``Host`` header, without the port; empty when the header is garbage."""
    try:
        return urlsplit("//" + host.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


def is_loopback(name: str) -> bool:
    """True for an address of loopback and for the names that it always has; other names are not looked up."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
