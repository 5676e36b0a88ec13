"""One connection to a keeper or an engine: requests with replies, and events, on the event loop."""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count, islice, takewhile
from typing import Any

from labplane_keeper import OLDEST, PROTOCOL, VERSION
from labplane_keeper.clients import HEAD, MOST_DATA, MOST_JSON

READ = 256 * 1024
ANSWERS_WITHIN = 10.0
MOST_UNSENT = 1024 * 1024
MOST_JOINED = 64

Event = Callable[[dict[str, Any], bytes], None]


class Lost(ConnectionError):
    """The connection has ended; whether the request was done is not known."""


class Connection:
    """A connection on `end`, a non-blocking socket, which is closed with it.

    hello:   what the program said of itself, once `ready` has returned.
    lost:    set once the connection has ended.
    event:   called with each event and its bytes.
    on_lost: called once when the program has closed the connection, not for `close`.
    """

    def __init__(self, end: socket.socket, role: str, event: Event, on_lost: Callable[[], None]) -> None:
        self.hello: dict[str, Any] = {}
        self.lost = asyncio.Event()
        self._end, self._event, self._on_lost = end, event, on_lost
        self._loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = count(1)
        self._received = bytearray()
        self._out: deque[tuple[bytes, Sequence[int] | None]] = deque()
        self._sent = 0  # of the first of them
        self._broken = False
        self._loop.add_reader(end, self._read)
        self._send({"hello": role, "protocol": PROTOCOL, "oldest": OLDEST, "version": VERSION})

    @property
    def closed(self) -> bool:
        return self._end.fileno() < 0

    async def ready(self) -> None:
        """Wait for the hello of the program. Raises Lost, or ConnectionError for one with which there is no talking."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                await asyncio.shield(self._greeted)
        except TimeoutError:
            self.close()
            raise ConnectionError(
                f"The keeper has not answered for {ANSWERS_WITHIN:g} seconds. If its process is stopped, let it go on; "
                "`labplane gc` ends it, and all that it runs."
            ) from None
        best, oldest = self.hello["protocol"], self.hello["oldest"]
        if best < OLDEST or oldest > PROTOCOL:
            self.close()
            raise ConnectionError(
                f"The {self.hello['hello']}, process {self.hello['pid']}, speaks protocols {oldest} to {best}, this "
                f"labplane {OLDEST} to {PROTOCOL}. End its machines with the labplane that started them, or with "
                "`labplane gc`."
            )

    async def ask(self, op: str, data: bytes = b"", descriptors: Sequence[int] = (), **members: Any) -> dict[str, Any]:
        """The reply to a request. Raises Lost, and OSError as the program does.

        descriptors: what goes with it; they must stay open until this returns.
        """
        if self.closed:
            raise Lost("The connection is closed.")
        number = next(self._numbers)
        asked: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._asked[number] = asked
        passed = {"descriptors": len(descriptors)} if descriptors else {}
        self._send({"op": op, "seq": number, **passed, **members}, data, descriptors)
        try:
            reply = await asked
        finally:
            self._asked.pop(number, None)
        if (error := reply.get("error")) is not None:
            raise OSError(error["errno"], error["text"])
        return reply

    def tell(self, op: str, data: bytes = b"", **members: Any) -> None:
        """Make a request without a reply. What cannot be sent any more is `unsent`."""
        self._send({"op": op, **members}, data, None)

    def send_again(self, frames: Iterable[bytes]) -> None:
        """Send what was `unsent` of an earlier connection."""
        for frame in frames:
            self._out.append((frame, None))
        self._flush()

    @property
    def unsent(self) -> list[bytes]:
        """The requests without a reply that could not be sent, once the connection is closed."""
        return [frame for frame, descriptors in self._out if descriptors is None]

    def close(self) -> None:
        """Close the connection; requests that wait for a reply raise Lost."""
        if self.closed:
            return
        self._flush()
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._end.close()
        self.lost.set()
        if not self._greeted.done():
            self._greeted.set_exception(Lost("The connection has ended."))
            self._greeted.exception()  # nobody may wait for it
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(Lost("The connection has ended."))

    def _send(self, message: dict[str, Any], data: bytes = b"", descriptors: Sequence[int] | None = ()) -> None:
        text = json.dumps(message).encode()
        if self.closed and sum(len(frame) for frame, _ in self._out) > MOST_UNSENT:
            return
        self._out.append((HEAD.pack(len(text), len(data)) + text + data, descriptors))
        if len(self._out) == 1:
            self._loop.call_soon(self._flush)  # with all that this turn of the loop sends besides

    def _flush(self) -> None:
        if self.closed or self._broken:
            return
        try:
            while self._out:
                frame, descriptors = self._out[0]
                pieces, rights = [memoryview(frame)[self._sent :]], []
                if not descriptors:
                    plain = takewhile(lambda one: not one[1], islice(self._out, 1, MOST_JOINED))
                    pieces += [memoryview(frame) for frame, _ in plain]
                elif not self._sent:
                    numbers = struct.pack(f"{len(descriptors)}i", *descriptors)
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]
                self._sent += self._end.sendmsg(pieces, rights)
                while self._out and self._sent >= len(self._out[0][0]):
                    self._sent -= len(self._out.popleft()[0])
        except BlockingIOError:
            self._loop.add_writer(self._end, self._flush)
        except OSError:
            self._broken = True  # the reader sees the end
            self._loop.remove_writer(self._end)
        else:
            self._loop.remove_writer(self._end)

    def _read(self) -> None:
        try:
            data = self._end.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or not self._take_frames():
            self.close()
            self._on_lost()

    def _take_frames(self) -> bool:
        """Take in the whole frames; False when what came is none."""
        while len(self._received) >= HEAD.size and not self.closed:
            text, data = HEAD.unpack_from(self._received)
            if text > MOST_JSON or data > MOST_DATA:
                return False
            whole = HEAD.size + text + data
            if len(self._received) < whole:
                break
            frame = bytes(self._received[HEAD.size : whole])
            del self._received[:whole]
            message: dict[str, Any] = json.loads(frame[:text])
            if (waiting := self._asked.get(message.get("reply", 0))) is not None:
                if not waiting.done():
                    waiting.set_result(message)
            elif "event" in message:
                self._event(message, frame[text:])
            elif "hello" in message and not self._greeted.done():
                self.hello = message
                self._greeted.set_result(None)
        return True
