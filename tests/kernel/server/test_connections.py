"""Clients that do not read are given up, and those that do are not; more of it is in tests/contract/test_limits.py."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from labplane.server.connections import Connection, _ReplyTransport
from labplane.server.limits import ConnectionCount, Limits
from labplane.server.websocket import WebSocketConnection

HANDSHAKE = (
    b"GET /flood HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
LIMITS = Limits(connections=10, of_one_peer=10, head=4096, head_seconds=20, stall_seconds=0.5)
SIZE = 300_000


class Roomy(Connection):
    """Little waits in the system, and whatever waits in the server fits: nothing is ever paused."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport.set_write_buffer_limits(high=2 * SIZE)
        super().connection_made(transport)


@asynccontextmanager
async def serving(
    *routes: Route | WebSocketRoute, http: type[Connection] = Connection
) -> AsyncIterator[uvicorn.Server]:
    count = ConnectionCount(LIMITS)
    config = uvicorn.Config(
        Starlette(routes=routes),
        port=0,
        log_config=None,
        timeout_keep_alive=cast(int, 0.2),
        timeout_graceful_shutdown=1,
        http=cast(Any, partial(http, LIMITS, count)),
        ws=cast(Any, partial(WebSocketConnection, LIMITS, count)),
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
        yield server
    server.should_exit = True
    await task


def connected(server: uvicorn.Server, data: bytes) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(server.servers[0].sockets[0].getsockname())
    client.sendall(data)
    client.setblocking(False)
    return client


async def big(_: Request) -> Response:
    return Response(b"x" * SIZE)


def test_a_websocket_whose_client_does_not_read_is_given_up_and_one_that_is_read_is_not() -> None:
    """W-7."""
    ended: list[WebSocket] = []

    async def flood(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_bytes(b"x" * 65536)
                await asyncio.sleep(0)
        except WebSocketDisconnect:
            ended.append(websocket)

    async def main() -> None:
        async with serving(WebSocketRoute("/flood", flood)) as server:
            with connected(server, HANDSHAKE) as sleeper, connected(server, HANDSHAKE) as reader:
                while not ended:
                    assert await asyncio.get_running_loop().sock_recv(reader, 65536)
                    await asyncio.sleep(0)
                assert [one.client and one.client.port for one in ended] == [sleeper.getsockname()[1]]
            while len(ended) < 2:
                await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("version", [b"1.0", b"1.1"], ids=["closed by the reply", "closed when idle"])
def test_who_leaves_the_rest_of_a_reply_unread_is_given_up(version: bytes) -> None:
    async def main() -> None:
        async with serving(Route("/", big), http=Roomy) as server:
            with connected(server, b"GET / HTTP/%s\r\nHost: x\r\n\r\n" % version):
                while not server.server_state.total_requests:
                    await asyncio.sleep(0.01)
                assert len(server.server_state.connections) == 1
                while server.server_state.connections:
                    await asyncio.sleep(0.01)

    asyncio.run(main())


def test_who_reads_slowly_but_steadily_gets_it_all() -> None:
    async def main() -> None:
        async with serving(Route("/", big)) as server:
            with connected(server, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n") as client:
                received = b""
                while data := await asyncio.get_running_loop().sock_recv(client, 8192):
                    received += data
                    await asyncio.sleep(0.03)
                assert received.partition(b"\r\n\r\n")[2] == b"x" * SIZE

    asyncio.run(main())


class Sent(list[bytes]):
    """What a transport was told, in order."""

    def write(self, data: bytes) -> None:
        self.append(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.append(b"closed")


def test_the_head_of_a_reply_is_sent_with_its_body_and_alone_when_that_comes_later() -> None:
    async def main() -> None:
        for later in (False, True):
            sent = Sent()
            reply = _ReplyTransport(cast(Any, sent), sent.close)
            reply.write(b"head ")
            assert sent == []
            if later:
                await asyncio.sleep(0)
                assert sent == [b"head "]
            reply.write(b"body ")
            reply.write(b"more")
            await asyncio.sleep(0)
            assert sent == ([b"head ", b"body ", b"more"] if later else [b"head body ", b"more"])

    asyncio.run(main())


def test_a_head_alone_is_sent_before_the_connection_is_closed() -> None:
    async def main() -> None:
        sent = Sent()
        reply = _ReplyTransport(cast(Any, sent), sent.close)
        reply.write(b"head")
        reply.close()
        await asyncio.sleep(0)
        assert sent == [b"head", b"closed"]

    asyncio.run(main())
