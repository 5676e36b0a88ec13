"""The address at which telnet viewers reach a console: opened, moved and closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from labplane.consoles.console import Console
from labplane.consoles.telnet import Telnet


class Listener:
    """The listening socket of one console, at one address at a time.

    address: host and port where it listens; None while it does not.
    """

    def __init__(self, console: Console) -> None:
        self.address: tuple[str, int] | None = None
        self._console = console
        self._server: asyncio.Server | None = None
        self._closed = False

    async def listen(self, host: str, port: int) -> None:
        """Accept telnet viewers at `host` and `port` (0: any free one), from now on there alone; those connected stay.

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
        if self.address == (host, port):
            yield
            return
        server = await asyncio.get_running_loop().create_server(lambda: Telnet(self._console), host, port)
        try:
            if self._closed:
                raise RuntimeError("the console was closed while it began to listen")
            yield
        except BaseException:
            await _stop(server)
            raise
        if self._closed:
            await _stop(server)
            return
        address = server.sockets[0].getsockname()
        self.address = address[0], address[1]
        former, self._server = self._server, server
        if former is not None:
            await _stop(former)

    async def close(self) -> None:
        """Listen no more. When it returns, the address can be bound again. It may be called again."""
        self._closed = True
        self.address = None
        server, self._server = self._server, None
        if server is not None:
            await _stop(server)


async def _stop(server: asyncio.Server) -> None:
    server.close()
    await asyncio.sleep(0)  # uvloop closes the sockets one turn later
