"""Raw HTTP: what no client library would send, and replies read to the byte."""

import http.client
import io
import socket
from dataclasses import dataclass
from typing import Any, cast

from support import DEADLINE


@dataclass(frozen=True)
class Reply:
    """A reply as it came; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Incoming(io.BufferedReader):
    """What came and has not been read, for one reply after the other: http.client closes what it reads one from."""

    def makefile(self, _mode: str) -> "Incoming":
        return self

    def close(self) -> None:
        pass


class Wire:
    """One TCP connection to an HTTP server at loopback; receive_buffer: bytes that come unread, None for the usual."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.port = port
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(("127.0.0.1", port))
        self._incoming = Incoming(socket.SocketIO(self.socket, "r"))

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self, method: str, path: str, *headers: str, host: str | None = None) -> None:
        """Send a request line and headers, and none of the body."""
        host = host if host is not None else f"127.0.0.1:{self.port}"
        self.send("\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", "")).encode("latin-1"))

    def chunk(self, data: bytes) -> None:
        """Send a piece of a chunked body; an empty one ends it."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def reply(self, method: str = "GET") -> Reply:
        """Read the next reply; method: of its request, for HEAD has no body."""
        response = http.client.HTTPResponse(cast(Any, self._incoming), method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, response.read())

    def call(self, method: str, path: str, body: bytes = b"", *headers: str, host: str | None = None) -> Reply:
        """Send a whole request and read its reply."""
        length = [f"Content-Length: {len(body)}"] if body or method in ("POST", "PUT") else []
        self.head(method, path, *length, *headers, host=host)
        self.send(body)
        return self.reply(method)

    def more(self) -> bytes:
        """What comes next, whatever it is; nothing when the server has hung up."""
        return self._incoming.read1()

    def is_closed(self) -> bool:
        """True when the server ends the connection without another byte."""
        return self._incoming.read(1) == b""
