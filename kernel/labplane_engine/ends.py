"""Ends of links: a frame comes and goes at a time, through a UDP socket, a tap device, or straight to the other end."""

import os
import socket
import struct
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from labplane_engine.watch import Watch

MOST_FRAME = 65536
AT_ONCE = 32  # frames of one descriptor that are taken before it is the turn of others
IN_A_TURN = 64  # frames between ends of this engine that are delivered before it is the turn of others
MOST_WAITING = 512  # frames for one end; what comes beyond that is lost, as where a socket's buffer is full
SO_NETNS_COOKIE = 71  # linux/socket.h, since Linux 5.14

Received = Callable[[bytes], None]
Failed = Callable[[Exception], None]
Key = tuple[object, object, bytes]

_buffer = bytearray(MOST_FRAME)
_view = memoryview(_buffer)


class End:
    """One end of a link.

    descriptor: of a connected UDP socket, or of what is read and written a frame at a time, as a tap device is. It is
                closed with the end.
    received:   takes each frame that comes.
    failed:     takes what `received` raises.
    """

    __slots__ = ("_descriptor", "_ends", "_failed", "_key", "_socket", "far", "received", "waiting")

    def __init__(self, ends: "Ends", descriptor: int, received: Received, failed: Failed) -> None:
        os.set_blocking(descriptor, False)
        self._ends = ends
        self._descriptor = descriptor
        self.received = received
        self._failed = failed
        self._socket: socket.socket | None = None
        self._key: Key | None = None
        self.far: End | None = None
        self.waiting = 0
        with suppress(OSError):
            self._socket = socket.socket(fileno=descriptor)
            self._key = _key(self._socket)
        ends.add(self, self._key)
        ends.watch.add(descriptor, self._read_frames if self._socket is None else self._read_datagrams)

    def send(self, frame: bytes) -> None:
        """Send a frame. Where nobody takes it, it is lost, as on any wire."""
        far = self.far
        if far is not None:
            self._ends.carry(far, frame)
            return
        try:
            if self._socket is not None:
                self._socket.send(frame)
            else:
                os.write(self._descriptor, frame)
        except OSError:
            return

    def close(self) -> None:
        """Let go of the descriptor. It may be called again."""
        if self._descriptor < 0:
            return
        self._ends.watch.remove(self._descriptor)
        self._ends.remove(self, self._key)
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._descriptor)
        self._descriptor = -1

    def take(self, frame: bytes) -> None:
        """Take a frame in."""
        if self._descriptor >= 0:
            try:
                self.received(frame)
            except Exception as error:
                self._failed(error)

    def _read_datagrams(self) -> None:
        assert self._socket is not None  # noqa: S101 - or this would not be called
        receive = self._socket.recv_into
        with self._ends:
            for _ in range(AT_ONCE):
                try:
                    length = receive(_buffer)
                except BlockingIOError:
                    return
                except OSError:  # nobody has the other end open
                    if self._descriptor < 0:
                        return
                    continue
                self.take(bytes(_view[:length]))

    def _read_frames(self) -> None:
        with self._ends:
            for _ in range(AT_ONCE):
                if self._descriptor < 0:
                    return
                try:
                    frame = os.read(self._descriptor, MOST_FRAME)
                except OSError:
                    return
                self.take(frame)


class Ends:
    """All ends of one engine. Two whose sockets are connected to each other need no system call for a frame.

    As a context manager it holds back what machines send in the block, and delivers it right after: a machine that is
    at work gets no frame, and a frame waits for no other turn of the loop.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.watch = Watch(loop)
        self._by_key: dict[Key, End] = {}
        self._carried: deque[tuple[End, bytes]] = deque()
        self._is_due = False
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._carried and not self._depth:
            self._deliver()

    def add(self, end: End, key: Key | None) -> None:
        """Know an end, and let it and the one that it faces know each other."""
        if key is not None:
            self._by_key[key] = end
            near, far, namespace = key
            facing = self._by_key.get((far, near, namespace))
            if facing is not None and facing is not end:
                facing.far, end.far = end, facing

    def remove(self, end: End, key: Key | None) -> None:
        """Forget an end."""
        if key is not None and self._by_key.get(key) is end:
            del self._by_key[key]
        facing, end.far = end.far, None
        if facing is not None:
            facing.far = None

    def settle(self) -> None:
        """Deliver what a machine has sent, which is done with its work but for what can wait."""
        if self._carried and self._depth == 1:
            self._deliver()

    def carry(self, end: End, frame: bytes) -> None:
        """Deliver a frame to `end`, once no machine is at work."""
        if end.waiting >= MOST_WAITING:
            return
        end.waiting += 1
        self._carried.append((end, frame))
        if not self._depth:
            self._deliver_later()

    def _deliver_later(self) -> None:
        if not self._is_due:
            self._is_due = True
            self.loop.call_soon(self._deliver_due)

    def _deliver_due(self) -> None:
        self._is_due = False
        self._deliver()

    def _deliver(self) -> None:
        carried = self._carried
        self._depth += 1
        for _ in range(IN_A_TURN):
            if not carried:
                break
            end, frame = carried.popleft()
            end.waiting -= 1
            end.take(frame)
        self._depth -= 1
        if carried:
            self._deliver_later()


def _key(end: socket.socket) -> Key:
    """Where a socket is and whom it is connected to. Raises OSError for one that is not connected, or no UDP socket."""
    if end.type != socket.SOCK_DGRAM or end.family not in (socket.AF_INET, socket.AF_INET6):
        raise OSError("no UDP socket")
    try:
        namespace = end.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, struct.calcsize("Q"))
    except OSError:  # an older Linux does not tell
        namespace = b""
    return end.getsockname(), end.getpeername(), namespace
