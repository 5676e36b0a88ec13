"""Clients: connections with what comes and goes on them, in frames of JSON and bytes."""

import errno
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

from labplane_keeper.runs import Run

HEAD = struct.Struct("!II")  # how long the JSON and the bytes behind it are
MOST_JSON, MOST_DATA, MOST_DESCRIPTORS = 1024 * 1024, 64 * 1024, 128
READ = 64 * 1024

Frame = tuple[dict[str, Any], bytes, list[int]]


class Client:
    """One connection.

    role:     what it said that it is: "server", "visitor"; None before.
    sent:     of each run that it reads, the offset up to which it was put on its way.
    behind:   those of which it may not have all.
    progress: when it last took something.
    writes:   whether the loop waits until it takes more.
    """

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.role: str | None = None
        self.sent: dict[Run, int] = {}
        self.behind: dict[Run, None] = {}
        self.progress = time.monotonic()
        self.writes = False
        self._received, self._out = bytearray(), bytearray()
        self._fds: list[int] = []
        self._lacks = False  # descriptors that came, for which this process has no number left

    @property
    def waits(self) -> bool:
        """Whether there is something that it does not take now."""
        return bool(self._out)

    def send(self, message: dict[str, Any], data: bytes = b"") -> None:
        text = json.dumps(message).encode()
        self._out += HEAD.pack(len(text), len(data)) + text + data

    def read(self, run: Run, offset: int) -> None:
        """Send it the output of `run` from `offset` on, and its end."""
        self.sent[run] = min(max(0, offset), run.end)
        self.behind[run] = None
        run.readers.add(self)

    def leave(self, run: Run) -> None:
        """Send it no more of `run`."""
        run.readers.discard(self)
        self.sent.pop(run, None)
        self.behind.pop(run, None)

    def pump(self) -> None:
        """Send what it takes. Raises OSError when the connection is gone."""
        while True:
            while self.behind and len(self._out) < MOST_DATA:
                run = next(iter(self.behind))
                del self.behind[run]
                self._add_output(run)
            if not self._out:
                return
            try:
                del self._out[: self.end.send(self._out)]
            except BlockingIOError:
                return
            self.progress = time.monotonic()

    def _add_output(self, run: Run) -> None:
        begin = run.begin
        offset = max(self.sent[run], begin)
        data = bytes(run.ring[offset - begin : offset - begin + MOST_DATA])
        names = {"id": run.id, "generation": run.generation}
        if data:
            self.send({"event": "output", **names, "offset": offset}, data)
        self.sent[run] = offset + len(data)
        if self.sent[run] < run.end:
            self.behind[run] = None
        elif run.status is not None:
            self.send({"event": "exit", **names, "status": run.status, "out_of_memory": run.out_of_memory})
            self.leave(run)

    def receive(self) -> bool:
        """Take what has come; False at the end. Raises OSError."""
        space = socket.CMSG_SPACE(4 * MOST_DESCRIPTORS)
        try:
            data, extra, flags, _ = self.end.recvmsg(READ, space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return True
        for _, _, numbers in extra:
            count = len(numbers) // 4
            self._fds += struct.unpack(f"{count}i", numbers[: count * 4])
        self._received += data
        self._lacks |= bool(flags & socket.MSG_CTRUNC)
        return bool(data)

    def frames(self) -> Iterator[Frame]:
        """The message, bytes and descriptors of each whole frame. Raises ValueError for what is none.

        When this process has no number left for the descriptors, fewer of them are there.
        """
        while len(self._received) >= HEAD.size:
            text, data = HEAD.unpack_from(self._received)
            if text > MOST_JSON or data > MOST_DATA:
                raise ValueError("the frame is too long")
            whole = HEAD.size + text + data
            if len(self._received) < whole:
                return
            frame = bytes(self._received[HEAD.size : whole])
            del self._received[:whole]
            message = json.loads(frame[:text])
            count = message.get("descriptors", 0) if isinstance(message, dict) else -1
            if not 0 <= count <= len(self._fds) and not self._lacks:
                raise ValueError("it is no object, or descriptors are missing")
            fds, self._fds = self._fds[:count], self._fds[count:]
            self._lacks = self._lacks and not count
            yield message, frame[text:], fds

    def close(self) -> None:
        for run in list(self.sent):
            self.leave(run)
        for descriptor in self._fds:
            os.close(descriptor)
        self.end.close()


def failure(error: OSError) -> dict[str, Any]:
    return {"error": {"errno": error.errno or errno.EIO, "text": error.strerror or str(error)}}
