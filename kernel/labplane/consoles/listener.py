"""The address at which telnet viewers reach a console: opened, moved and closed."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from sys import intern

from labplane.consoles.console import Console
from labplane.consoles.sockets import bound


class Listener:
    """The listening socket of one console, at one address at a time.

    address:   host and port where it listens; None while it does not. Of a name with several addresses, the first.
    keepalive: seconds after which an idle viewer is probed.
    protocol:  makes what serves one viewer; telnet by default.
    """

    def __init__(
        self, console: Console, keepalive: int = 60, protocol: Callable[[], asyncio.Protocol] | None = None
    ) -> None:
        self._protocol_of_a_viewer = protocol or self._telnet
        self.address: tuple[str, int] | None = None
        self._console = console
        self._keepalive = keepalive
        self._place: tuple[str, int] | None = None
        self._servers: list[asyncio.Server] = []
        self._closed = False

    async def listen(self, host: str, port: int) -> None:
        """Accept telnet viewers at each address of `host` and `port` (0: any free one), and from now on there alone.

        Viewers that are connected stay.

        Raises OSError when the address cannot be had; the listener then stays where it was. Raises RuntimeError when
        it is closed.
        """
        async with self.moved(host, port):
            pass

    @asynccontextmanager
    async def moved(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen at the new address too while the block runs, and alone afterwards; if it fails, the old one stays.

        Raises as `listen` does, before anything has changed.
        """
        if self._closed:
            raise RuntimeError("a closed console does not listen again")
        if self._place == (host, port) or self.address == (host, port):
            yield
            return
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets = bound((family, place) for family, _, _, _, place in found)
        servers = [await self._accept(one) for one in sockets]
        try:
            if self._closed:
                raise RuntimeError("the console was closed while it began to listen")
            yield
        except BaseException:
            await _stop(servers)
            raise
        if self._closed:
            await _stop(servers)
            return
        address, number, *_ = sockets[0].getsockname()
        self.address, self._place = (intern(address), number), (host, number)
        former, self._servers = self._servers, servers
        await _stop(former)

    async def close(self) -> None:
        """Listen no more. When it returns, the address can be bound again. It may be called again."""
        self._closed = True
        self.address = self._place = None
        servers, self._servers = self._servers, []
        await _stop(servers)

    async def _accept(self, end: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        # The server, and what its viewers type, would keep the context of the request for as long as it listens.
        return await loop.create_task(loop.create_server(self._protocol_of_a_viewer, sock=end), context=Context())

    def _telnet(self) -> asyncio.Protocol:
        from labplane.consoles.telnet import Telnet  # with a library that a server can start without

        return Telnet(self._console, self._keepalive)


async def _stop(servers: list[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    if servers:
        await asyncio.sleep(0)  # uvloop closes the sockets one turn later
