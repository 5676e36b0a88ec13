"""TLS for HTTP: its context, and accepting connections, so that each is counted before its handshake."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from labplane.server.limits import ConnectionCount, Limits, Place, address_in
from labplane.settings import SettingsError

log = logging.getLogger("labplane")

REFUSED_SECONDS = 2.0
PAUSE_SECONDS = 1.0


def context(certfile: str, keyfile: str | None) -> ssl.SSLContext:
    """The context of a server with that certificate. Raises SettingsError when it cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        made.load_cert_chain(certfile, keyfile, password=_no_password)
    except (OSError, ValueError) as error:  # of which ssl's errors are some
        raise SettingsError(f"'certfile', 'keyfile': {certfile} cannot be used: {error}") from None
    return made


class TLSServer:
    """The server of one listening socket whose clients speak TLS, in place of the loop's own.

    The loop would tell nobody of a connection before its handshake is done, and so no limit would hold until then. One
    that is refused has REFUSED_SECONDS for its handshake, after which it is told so.
    """

    def __init__(
        self,
        limits: Limits,
        count: ConnectionCount,
        context: ssl.SSLContext,
        make: Callable[[Place], HttpToolsProtocol],
        listener: socket.socket,
    ) -> None:
        """make: makes the protocol of a connection, which leaves its place when the connection is lost."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._context = context
        self._limits = limits
        self._count = count
        self._make = make
        self._handshakes: set[asyncio.Task[None]] = set()
        self._is_closed = False
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listener)
            for handshake in self._handshakes:
                handshake.cancel()

    async def wait_closed(self) -> None:
        if self._handshakes:
            await asyncio.wait(self._handshakes)

    def _listen(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, name = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # the client was gone again
        except OSError as error:  # of files or memory there are none left, and more than one client waits
            log.warning("No connection can be accepted for %g s: %s.", PAUSE_SECONDS, error.strerror)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(PAUSE_SECONDS, self._listen)
            return
        place = self._count.enter(address_in(name))
        if place.is_flooded:
            place.leave()
            connection.close()
            return
        connection.setblocking(False)
        handshake = self._loop.create_task(self._shake_hands(connection, place))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: socket.socket, place: Place) -> None:
        protocol = self._make(place)
        seconds = self._limits.head_seconds
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=seconds if place.refusal is None else min(seconds, REFUSED_SECONDS),
            )
        except (OSError, EOFError):  # the client's doing: it hung up, does not speak TLS, or took too long
            place.leave()
        finally:
            if protocol.transport is None:  # nobody else will
                place.leave()


def _no_password() -> str:
    raise ValueError("the key is encrypted; labplane asks for no password, so store the key without one")
