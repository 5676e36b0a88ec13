"""One console, many viewers: all see the same session, a newcomer also what went before, and nobody can hold it up."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex
from typing import Protocol

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
    """One console, many viewers. What the emulator prints is numbered: its first byte is 0.

    run:  names what prints, so that a viewer who comes again knows whether its numbers still count.
    here: the number of the first byte of what viewers are being sent.
    next: the number of the byte that they get next; those that nobody sees have one too.

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
        self.run = token_hex(8)
        self.here = self.next = 0
        self._write = write
        self._leave_on = leave_on or None
        self._most = most
        self._farewell = b"\r\n" + farewell + b"\r\n"
        self._scrollback = Scrollback()
        self._held = b""
        self._hold: asyncio.TimerHandle | None = None
        self._viewers: dict[Viewer, None] = {}
        self._leaving: dict[Viewer, None] = {}
        self._typist: Viewer | None = None
        self._nobody: asyncio.Event | None = None  # when somebody waits for that
        self._closed = False

    @property
    def viewers(self) -> int:
        """How many viewers see the output."""
        return len(self._viewers)

    def go_on(self, run: str, number: int) -> None:
        """What is fed next, of which there was nothing yet, is byte `number` of a run that another console showed."""
        self.run, self.here, self.next = run, number, number
        self._scrollback.skip(number)

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
            self.next += len(self._leave_on)
            self._scrollback.skip(self.next)
            self._dismiss_typist()
            held = 0
            shown, found, rest = rest.partition(self._leave_on)
        keep = _overlap(shown, self._leave_on)
        self._show(shown[: len(shown) - keep])
        self._held = shown[len(shown) - keep :]
        if not (held and keep == len(shown)):
            self._hold_on()

    def close(self) -> None:
        """Hang up on all viewers, after the output that they have coming as far as their sockets take it.

        It waits for no viewer to hang up in turn, see `empty`. It may be called again.
        """
        self._show_held()
        self._closed = True
        for viewer in tuple(self._viewers):
            self._hang_up(viewer)

    async def empty(self) -> None:
        """Wait until no viewer is left, one second at the most."""
        if self._viewers or self._leaving:
            self._nobody = self._nobody or asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nobody.wait(), PATIENCE)

    def attach(self, viewer: Viewer, since: int | None = None) -> None:
        """Let a viewer see the session, beginning with what went before: with byte `since` if that is remembered.

        `here` is the number of the first byte of that while it is sent, and that of the byte after it from then on.
        """
        if self._closed:
            viewer.hang_up()
            return
        if len(self._viewers) >= self._most:
            self._leaving[viewer] = None
            viewer.send(f"This console has {self._most} viewers already.\r\n".encode())
            viewer.hang_up()
            return
        self._viewers[viewer] = None
        missed = None if since is None else self._scrollback.since(since)
        replay = self._scrollback.replay() if missed is None else missed
        self.here = self._scrollback.first if since is None or missed is None else since
        if replay:
            viewer.send(replay)
        self.here = self.next

    def detach(self, viewer: Viewer) -> None:
        """Forget a viewer whose connection is gone; an unknown one is none."""
        self._viewers.pop(viewer, None)
        self._leaving.pop(viewer, None)
        if self._typist is viewer:
            self._typist = None
        if self._nobody is not None and not self._viewers and not self._leaving:
            self._nobody.set()
            self._nobody = None

    def last(self, count: int) -> bytes:
        """The last bytes that were shown, at most that many."""
        return self._scrollback.last(count)

    def typed(self, viewer: Viewer, data: bytes) -> None:
        """Pass on what a viewer typed; one that was hung up is no longer listened to."""
        if viewer in self._viewers:
            self._typist = viewer
            self._write(data)

    def _show(self, data: bytes) -> None:
        if data:
            self.here, self.next = self.next, self.next + len(data)
            self._scrollback.add(data, self.next)
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
        self._leaving[viewer] = None
        self._viewers.pop(viewer, None)
        if self._typist is viewer:
            self._typist = None
        viewer.hang_up()


class Scrollback:
    """The first `HEAD` and the last `TAIL` bytes of an output, in memory that grows only as the output does.

    first: the number of the first byte.
    """

    def __init__(self) -> None:
        self.first = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._skipped = False
        self._next = 0
        self._whole_since = 0

    def add(self, data: bytes, upto: int | None = None) -> None:
        """Remember `data`; upto: the number of the byte after it, that of the byte after the last if it is absent."""
        self._next = self._next + len(data) if upto is None else upto
        if not self._head:
            self.first = self._next - len(data)
        room = HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - TAIL
        if excess > 0:
            del self._tail[:excess]
            self._skipped = True

    def skip(self, number: int) -> None:
        """The bytes before `number` are followed by it, whatever is between."""
        self._next = self._whole_since = number

    def since(self, number: int) -> bytes | None:
        """Exactly the bytes from `number` on; None when some of them are remembered no longer, or never came."""
        known = self._tail if self._skipped else self._head + self._tail
        back = self._next - number
        if not 0 <= back <= len(known) or number < self._whole_since:
            return None
        return bytes(known[len(known) - back :])

    def last(self, count: int) -> bytes:
        """The last `count` bytes, or all that are remembered if these are fewer."""
        known = self._tail if self._skipped or len(self._tail) >= count else self._head + self._tail
        return bytes(known[-count:])

    def replay(self) -> bytes:
        """What a newcomer is shown: everything, or whole lines of the head, `SKIPPED`, and whole lines of the tail."""
        if not self._skipped:
            return bytes(self._head + self._tail)
        head = self._head[: self._head.rfind(b"\n") + 1] or self._head
        return bytes(head + SKIPPED + self._tail[self._tail.find(b"\n") + 1 :])


def _overlap(text: bytes, words: bytes) -> int:
    """How many bytes at the end of `text` could be the beginning of `words`."""
    return next((n for n in range(min(len(text), len(words) - 1), 0, -1) if text.endswith(words[:n])), 0)
