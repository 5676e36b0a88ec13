"""A keep-alive HTTP client that does next to nothing, so that it is the server that is measured; one for both sides."""

import asyncio
import json
import time
from typing import Any, NamedTuple, cast


class Reply(NamedTuple):
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class BenchError(Exception):
    """Something could not be measured; the text says why."""


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._reply: asyncio.Future[Reply] | None = None
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def to(cls, port: int) -> "Connection":
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def request(self, encoded: bytes) -> asyncio.Future[Reply]:
        """Send what `encode` made; the reply is awaited."""
        self._reply = self._loop.create_future()
        self._transport.write(encoded)
        return self._reply

    async def timed(self, encoded: bytes, status: int) -> float:
        """The seconds until the whole reply is here. Raises BenchError unless it has that status."""
        return (await self.answered(encoded, status))[0]

    async def answered(self, encoded: bytes, status: int) -> tuple[float, Reply]:
        """As `timed`, with the reply."""
        begin = time.perf_counter()
        reply = await self.request(encoded)
        took = time.perf_counter() - begin
        return took, expect(reply, status)

    async def call(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """What the server answers, parsed. Raises BenchError unless it has that status."""
        reply = expect(await self.request(encode(method, path, body)), status)
        return reply.json() if reply.body else None

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        _, named, rest = head.partition(b"content-length: ")
        length = int(rest.split(b"\r\n", 1)[0]) if named else 0
        if len(body) < length:
            return
        self._received = b""
        reply, self._reply = self._reply, None
        assert reply is not None
        if not reply.cancelled():
            reply.set_result(Reply(int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(BenchError("the server closed the connection in mid-request"))


def encode(method: str, path: str, body: object = None, headers: str = "") -> bytes:
    """A whole request; the body as JSON, none for None."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def expect(reply: Reply, status: int) -> Reply:
    if reply.status != status:
        raise BenchError(f"expected {status}, got {reply.status}: {reply.body[:300].decode()}")
    return reply
