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

Origin = tuple[str, str, int]

DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginCheck:
    """Refuses a request that a web page of another origin sent, or that came under a foreign name.

    app:     the application behind the check.
    host:    the address that the server binds. ``Host`` must name that, or loopback, so that a rebound DNS name is no
             way in; when it is every address, any address will do, since no page can have that as its name.
    names:   further names that are fine.
    origins: the origins of web pages that may ask all the same.
    """

    def __init__(self, app: ASGIApp, host: str, names: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._app = app
        self._names = {host.lower(), *(name.lower() for name in names)}
        self._everywhere = host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        self._origins = {_origin(origin.encode("latin-1", "replace")) for origin in origins} - {None}
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
            if not is_usual and (reason := self._complaint(scope.get("scheme", "http"), host, origin)) is not None:
                if scope["type"] == "websocket":
                    return send({"type": "websocket.close", "code": 1008})
                return envelope(Forbidden(reason))(scope, receive, send)
        return self._app(scope, receive, send)

    def _complaint(self, scheme: str, host: bytes | None, origin: bytes | None) -> str | None:
        if origin is not None:
            page = _origin(origin)
            if page is None or (page not in self._origins and not _is_own(page, scheme, host or b"")):
                return (
                    f"Requests from web pages of another origin are refused: the page is of {_shown(origin)}, and this "
                    f"server was addressed as {_shown(host or b'nothing')}. If it is the server's own page behind a "
                    "proxy, let the proxy pass on the Host header; if pages of that origin shall use this server, name "
                    "it in the setting cors_origins."
                )
        if host is not None and host not in self._known:
            if not self._is_ours(_name_in(host)):
                return (
                    f"This server does not go by the name {_shown(host)}; address it by its IP address or as "
                    "localhost, or start it with --allow-host (the setting allow_hosts)."
                )
            if len(self._known) < 16:
                self._known.add(host)
        return None

    def _is_ours(self, name: str) -> bool:
        return name in self._names or is_loopback(name) or (self._everywhere and _is_address(name))


def _origin(text: bytes) -> Origin | None:
    """The scheme, host and port of an origin, with the scheme's default port (RFC 6454); None for any other text."""
    try:
        parts = urlsplit(text.decode("latin-1").lower())
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port


def _is_own(page: Origin, scheme: str, host: bytes) -> bool:
    """Whether `page` is the origin of this server, which was addressed as `host`.

    A proxy in front may speak TLS for a server that does not, so a page of https may belong to either; a host without a
    port is meant with the default port of the page's scheme.
    """
    own = _origin(page[0].encode() + b"://" + host)
    return own == page and (scheme not in ("https", "wss") or page[0] == "https")


def _shown(text: bytes) -> str:
    return text[:100].decode("latin-1")


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
