"""TLS for HTTP: its context, and the handshake of each connection within the server's limits."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from labplane.server.limits import ConnectionCount, Limits, peer_of
from labplane.settings import SettingsError


def context(certfile: str, keyfile: str | None) -> ssl.SSLContext:
    """The context of a server with that certificate. Raises SettingsError when it cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        made.load_cert_chain(certfile, keyfile, password=_no_password)
    except (OSError, ValueError) as error:  # of which ssl's errors are some
        raise SettingsError(f"'certfile', 'keyfile': {certfile} cannot be used: {error}") from None
    return made


class Handshake(asyncio.Protocol):
    """One TCP connection until its TLS handshake is done, after which the protocol that `make` makes has it.

    A server socket with TLS would begin the handshake before any protocol knows of the connection, so that no limit
    would hold for it. The handshake therefore goes on in a second transport, on a duplicate of the socket: what the
    first one may have read is lost, so it must not read at all, and uvloop reads as soon as `connection_made` is over
    unless the transport is closed in it.
    """

    def __init__(
        self,
        limits: Limits,
        count: ConnectionCount,
        context: ssl.SSLContext,
        make: Callable[..., asyncio.Protocol],
        **given: Any,
    ) -> None:
        self._limits = limits
        self._count = count
        self._context = context
        self._make = make
        self._given = given
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a server has no others
        peer = peer_of(transport)
        place = _Place(self._count, peer)
        if self._count.refusal(peer) is not None:  # a reply would need the handshake
            place.give_back()
        else:
            try:
                duplicate = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
            except OSError:  # no descriptor is left
                place.give_back()
            else:
                self._task = asyncio.get_running_loop().create_task(self._shake_hands(duplicate, place))
        transport.abort()

    async def _shake_hands(self, connection: socket.socket, place: "_Place") -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Secured(place, lambda: self._make(**self._given)),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.head_seconds,
            )
        except (OSError, EOFError):  # the client's doing: it hung up, speaks no TLS, or took too long
            connection.close()
        finally:
            place.give_back()


class _Place:
    """A place among the connections that are counted, until it is given back."""

    def __init__(self, count: ConnectionCount, peer: str | None) -> None:
        self._count = count
        self._peer = peer
        self._is_taken = True
        count.add(peer)

    def give_back(self) -> None:
        if self._is_taken:
            self._is_taken = False
            self._count.remove(self._peer)


class _Secured(asyncio.Protocol):
    """Gives a connection whose handshake is done, and its place, to the protocol that `make` makes."""

    def __init__(self, place: _Place, make: Callable[[], asyncio.Protocol]) -> None:
        self._place = place
        self._make = make

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._place.give_back()  # the protocol counts itself
        protocol = self._make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def _no_password() -> str:
    raise ValueError("the key is encrypted; labplane asks for no password, so store the key without one")
