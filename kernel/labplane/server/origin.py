"""The check of `Origin` and `Host` that keeps web pages away (B-17). Raw ASGI, so that no plugin forgets it.

A middleware that only decides is no coroutine of its own: that would cost every request as much as the decision.
"""

import ipaddress
from collections.abc import Awaitable, Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from labplane.api.replies import envelope
from labplane.errors import Forbidden
from labplane.server.exposure import is_loopback


class OriginCheck:
    """Refuses a request that a web page of another origin sent, or that came under a foreign name.

    app:     the application behind the check.
    host:    the address that the server binds. ``Host`` must name that, or loopback, so that a rebound DNS name is no
             way in; when it is every address, any address will do, since no page can have that as its name.
    names:   further names that are fine.
    origins: of web pages that may ask all the same.
    """

    def __init__(self, app: ASGIApp, host: str, names: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._app = app
        self._names = {host.lower(), *(name.lower() for name in names)}
        self._everywhere = host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        self._origins = {origin.lower().encode() for origin in origins}
        self._known: set[bytes] = set()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            host = origin = None
            for name, value in scope["headers"]:
                if name == b"host":
                    host = value
                elif name == b"origin":
                    origin = value
            is_usual = origin is None and host in self._known
            if not is_usual and (reason := self._complaint(host, origin)) is not None:
                if scope["type"] == "websocket":
                    return send({"type": "websocket.close", "code": 1008})
                return envelope(Forbidden(reason))(scope, receive, send)
        return self._app(scope, receive, send)

    def _complaint(self, host: bytes | None, origin: bytes | None) -> str | None:
        if origin is not None and origin.lower() not in self._origins:
            scheme, found, authority = origin.lower().partition(b"://")
            if not scheme or not found or host is None or authority != host.lower():
                return "Requests from web pages of another origin are refused."
        if host is not None and host not in self._known:
            if not self._is_ours(_name_in(host)):
                return (
                    "This server does not go by that name; address it by its IP address or as localhost, or start it "
                    "with --allow-host."
                )
            if len(self._known) < 16:
                self._known.add(host)
        return None

    def _is_ours(self, name: str) -> bool:
        return name in self._names or is_loopback(name) or (self._everywhere and _is_address(name))


def _name_in(host: bytes) -> str:
    """The name in a ``Host`` header, without the port; empty when the header is garbage."""
    try:
        return urlsplit("//" + host.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
