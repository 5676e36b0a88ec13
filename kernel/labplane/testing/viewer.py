"""A viewer of a console, as bare as one can be: TCP, and no answer to telnet's negotiation."""

import select
import socket
import time

from labplane.testing.server import DEADLINE


class Viewer:
    """A telnet client that is connected to the console at `port`. Raises OSError when it cannot connect.

    seen: what has been read and not yet asked for with `until`.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), DEADLINE)
        self.seen = b""

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def type(self, line: str) -> None:
        """Send `line` and Enter."""
        self.socket.sendall(line.encode() + b"\r\n")

    def until(self, words: bytes, seconds: float = DEADLINE) -> bytes:
        """Read until `words` have come; returns, and forgets, all that came up to and including them."""
        end = time.monotonic() + seconds
        while words not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"waited in vain for {words!r}, saw {self.seen!r}"
            assert self._read(left), f"the console was closed before {words!r}, saw {self.seen!r}"
        at = self.seen.index(words) + len(words)
        found, self.seen = self.seen[:at], self.seen[at:]
        return found

    def until_closed(self, seconds: float = DEADLINE) -> bytes:
        """Read until the server closes the connection; returns all that came."""
        self.socket.settimeout(seconds)
        while data := self.socket.recv(65536):
            self.seen += data
        found, self.seen = self.seen, b""
        return found

    def stays(self, seconds: float) -> bool:
        """Whether the connection is still open after that time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self._read(left):
                return False
        return True

    def _read(self, seconds: float) -> bool:
        """Read for that time; False when the connection was closed."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return True
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.seen += data
        return bool(data)
