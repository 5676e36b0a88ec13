"""Limits for clients: of a connection, of waiting for a client that does not read, of all requests together."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from labplane.api.replies import envelope
from labplane.errors import Busy


@dataclass(frozen=True)
class Limits:
    """The limits of connections.

    connections:   how many there may be at once, those among them whose TLS handshake has not ended.
    of_one_peer:   how many of them one address may have; a network of /64 counts as one address of IPv6.
    head:          bytes of a request before its body.
    head_seconds:  from the first byte of a head, or from the connection's beginning, to the last byte; for a TLS
                   handshake as well.
    stall_seconds: without a further byte of an incomplete body, or with a reply that the client does not read.
    keepalive:     seconds after which an idle client is probed.
    """

    connections: int
    of_one_peer: int
    head: int
    head_seconds: float
    stall_seconds: float
    keepalive: int = 60


class ConnectionCount:
    """The connections that there are, in all and of each peer. A peer is an address as a socket gives it, or None.

    Those that are refused are counted apart, so that a peer that has too many takes no places from others.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = 0
        self._by_peer: Counter[str] = Counter()
        self._refused = 0

    def enter(self, peer: str | None) -> "Place":
        """Count a new connection, which `peer` made, until its place is left."""
        network = None if peer is None else _network(peer)
        most = self._limits.of_one_peer
        refusal: Busy | None = None
        if self._all >= self._limits.connections:
            refusal = Busy(f"This server takes {self._limits.connections} connections at once. Try again later.")
        elif network is not None and self._by_peer[network] >= most:
            refusal = Busy(
                f"This server takes {most} connections of one address at once. Try again later, or start it with "
                "a higher 'max_peer_connections'."
            )
        is_flooded = refusal is not None and self._refused >= self._limits.connections
        self._add(network, 1, is_refused=refusal is not None)
        return Place(refusal, is_flooded, partial(self._add, network, -1, is_refused=refusal is not None))

    def _add(self, network: str | None, number: int, *, is_refused: bool) -> None:
        if is_refused:
            self._refused += number
            return
        self._all += number
        if network is not None:
            self._by_peer[network] += number
            if not self._by_peer[network]:
                del self._by_peer[network]


class Place:
    """The place of one connection in the count, from its beginning until `leave`, which does nothing a second time.

    refusal:    why the connection is one too many; None when it is not.
    is_flooded: whether so many are refused at once that this one gets no reply.
    """

    def __init__(self, refusal: Busy | None, is_flooded: bool, remove: Callable[[], None]) -> None:
        self.refusal = refusal
        self.is_flooded = is_flooded
        self._remove: Callable[[], None] | None = remove

    def leave(self) -> None:
        if self._remove is not None:
            self._remove()
            self._remove = None


def peer_of(transport: asyncio.BaseTransport) -> str | None:
    """The address of the client; None over a Unix socket."""
    return address_in(transport.get_extra_info("peername"))


def address_in(name: object) -> str | None:
    """The address in what a socket says of its peer; None for a Unix socket."""
    return str(name[0]) if isinstance(name, tuple) and name else None


def _network(peer: str) -> str:
    if ":" not in peer:
        return peer
    return str(ipaddress.ip_network((peer.partition("%")[0], 64), strict=False))


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
