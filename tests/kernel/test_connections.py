"""WebSockets whose client does not read are given up; of HTTP, the same is in tests/contract/test_limits.py."""

import asyncio
import socket
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from labplane.connections import Connection, Conversation, Limits

HANDSHAKE = (
    b"GET /flood HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


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

    limits = Limits(connections=10, head=4096, head_seconds=20, stall_seconds=0.3)
    config = uvicorn.Config(
        Starlette(routes=[WebSocketRoute("/flood", flood)]),
        port=0,
        log_config=None,
        timeout_graceful_shutdown=1,
        http=cast(Any, partial(Connection, limits)),
        ws=cast(Any, partial(Conversation, limits)),
    )

    async def main() -> None:
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.01)
            address = server.servers[0].sockets[0].getsockname()
            with socket.create_connection(address) as sleeper, socket.create_connection(address) as reader:
                sleeper.sendall(HANDSHAKE)
                reader.sendall(HANDSHAKE)
                reader.setblocking(False)
                while not ended:
                    assert await asyncio.get_running_loop().sock_recv(reader, 65536)
                    await asyncio.sleep(0)
                assert [one.client and one.client.port for one in ended] == [sleeper.getsockname()[1]]
            while len(ended) < 2:
                await asyncio.sleep(0.01)
        server.should_exit = True
        await serving

    asyncio.run(main())
