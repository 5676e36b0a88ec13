"""One console, many viewers: all see the same session, a newcomer also what went before, and nobody can hold it up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from labplane.consoles.telnet import Telnet

HEAD = 2 * 1024
TAIL = 16 * 1024
SKIPPED = b"\r\n[...]\r\n"
HOLD = 0.02
PATIENCE = 1.0


class Viewer(Protocol):
    """Somebody who looks at a console through one kind of connection.

    Neither method blocks or raises. After `hang_up` nothing more is sent, and the viewer detaches itself as soon as its
    connection is gone, which it has to see to within `PATIENCE` seconds.
    """

    def send(self, data: bytes) -> None: ...

    def hang_up(self) -> None: ...


class Console:
    """One console, many viewers.

    `write` takes the bytes that viewers typed, free of telnet, and must not block. When `leave_on` appears in the
    output, nobody sees it: the viewer that typed last reads `farewell` in its place and is hung up. So is, with a word,
    who comes when `most` viewers are there.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        *,
        leave_on: bytes | None = None,
        farewell: bytes = b"Good-bye",
        most: int = 64,
    ) -> None:
        self.address: tuple[str, int] | None = None
        self._write = write
        self._leave_on = leave_on or None
        self._most = most
        self._farewell = b"\r\n" + farewell + b"\r\n"
        self._scrollback = Scrollback()
        self._held = b""
        self._hold: asyncio.TimerHandle | None = None
        self._viewers: dict[Viewer, None] = {}
        self._leaving: set[Viewer] = set()
        self._typist: Viewer | None = None
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._server: asyncio.Server | None = None
        self._closed = False

    @property
    def viewers(self) -> int:
        """How many viewers see the output."""
        return len(self._viewers)

    async def listen(self, host: str, port: int) -> None:
        """Accept telnet viewers at `host` and `port` (0: any free one), from now on there alone; those connected stay.

        Raises OSError when the address cannot be had; the console then listens where it did. Raises RuntimeError when
        the console is closed.
        """
        async with self.moved(host, port):
            pass

    @asynccontextmanager
    async def moved(self, host: str, port: int) -> AsyncIterator[None]:
        """Meanwhile listen there too, afterwards there alone; where it did alone, if what happens meanwhile fails.

        Raises as `listen` does, before anything has changed.
        """
        if self._closed:
            raise RuntimeError("a closed console does not listen again")
        if self.address == (host, port):
            yield
            return
        server = await asyncio.get_running_loop().create_server(lambda: Telnet(self), host, port)
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

    def feed(self, data: bytes) -> None:
        """Show what the emulator printed to everyone; to be called on the event loop."""
        if self._closed:
            return
        if self._leave_on is None:
            self._show(data)
            return
        held, text = len(self._held), self._held + data
        shown, found, rest = text.partition(self._leave_on)
        while found:
            self._show(shown)
            self._dismiss_typist()
            held = 0
            shown, found, rest = rest.partition(self._leave_on)
        keep = _overlap(shown, self._leave_on)
        self._show(shown[: len(shown) - keep])
        self._held = shown[len(shown) - keep :]
        if not (held and keep == len(shown)):
            self._hold_on()

    async def close(self) -> None:
        """Stop listening and hang up on everyone, after what they have coming as far as their sockets take it.

        When it returns the address can be bound again; it waits for nobody to hang up in turn, see `empty`. May be
        called again.
        """
        self._show_held()
        self._closed = True
        self.address = None
        server, self._server = self._server, None
        if server is not None:
            await _stop(server)
        self._leaving.update(self._viewers)
        for viewer in tuple(self._viewers):
            self._hang_up(viewer)

    async def empty(self) -> None:
        """Wait until no viewer is left, one second at the most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._nobody.wait()

    def attach(self, viewer: Viewer) -> None:
        """Let a viewer see the session, beginning with what went before."""
        if self._closed:
            viewer.hang_up()
            return
        if len(self._viewers) >= self._most:
            self._leaving.add(viewer)
            self._nobody.clear()
            viewer.send(f"This console has {self._most} viewers already.\r\n".encode())
            viewer.hang_up()
            return
        self._viewers[viewer] = None
        self._nobody.clear()
        replay = self._scrollback.replay()
        if replay:
            viewer.send(replay)

    def detach(self, viewer: Viewer) -> None:
        """Forget a viewer whose connection is gone; an unknown one is none."""
        self._viewers.pop(viewer, None)
        self._leaving.discard(viewer)
        if self._typist is viewer:
            self._typist = None
        if not self._viewers and not self._leaving:
            self._nobody.set()

    def typed(self, viewer: Viewer, data: bytes) -> None:
        """Pass on what a viewer typed; one that was hung up is no longer listened to."""
        if viewer in self._viewers:
            self._typist = viewer
            self._write(data)

    def _show(self, data: bytes) -> None:
        if data:
            self._scrollback.add(data)
            for viewer in tuple(self._viewers):
                viewer.send(data)

    def _hold_on(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        if self._held:
            self._hold = asyncio.get_running_loop().call_later(HOLD, self._show_held)

    def _show_held(self) -> None:
        held, self._held = self._held, b""
        self._hold_on()
        self._show(held)

    def _dismiss_typist(self) -> None:
        if self._typist is not None:
            self._typist.send(self._farewell)
            self._hang_up(self._typist)

    def _hang_up(self, viewer: Viewer) -> None:
        self._leaving.add(viewer)
        self._viewers.pop(viewer, None)
        if self._typist is viewer:
            self._typist = None
        viewer.hang_up()


class Scrollback:
    """The first `HEAD` and the last `TAIL` bytes of an output, in memory that grows only as the output does."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._skipped = False

    def add(self, data: bytes) -> None:
        room = HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - TAIL
        if excess > 0:
            del self._tail[:excess]
            self._skipped = True

    def replay(self) -> bytes:
        """What a newcomer is shown: everything, or whole lines of the head, `SKIPPED`, and whole lines of the tail."""
        if not self._skipped:
            return bytes(self._head + self._tail)
        head = self._head[: self._head.rfind(b"\n") + 1] or self._head
        return bytes(head + SKIPPED + self._tail[self._tail.find(b"\n") + 1 :])


def _overlap(text: bytes, words: bytes) -> int:
    """How many bytes at the end of `text` could be the beginning of `words`."""
    return next((n for n in range(min(len(text), len(words) - 1), 0, -1) if text.endswith(words[:n])), 0)


async def _stop(server: asyncio.Server) -> None:
    server.close()
    await asyncio.sleep(0)  # uvloop lets go of the sockets one turn later
