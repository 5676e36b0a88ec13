"""Limits that hold for all requests together."""

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from labplane.server.limits import RequestLimit


def test_more_requests_at_once_than_allowed_are_told_to_come_again() -> None:
    async def main() -> None:
        leave = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await leave.wait()
            if scope.get("fails"):
                raise OSError

        limit = RequestLimit(slow, 2)
        sent: list[Any] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def ask(**more: Any) -> None:
            await limit({"type": "http", "headers": [], **more}, receive, send)

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        inside = [asyncio.create_task(ask()), asyncio.create_task(ask(fails=True))]
        await asyncio.sleep(0)
        await ask()
        assert sent[0]["status"] == 503
        assert "does 2 requests at once" in json.loads(sent[1]["body"])["message"]
        leave.set()
        await asyncio.gather(*inside, return_exceptions=True)
        sent.clear()
        await ask()
        await limit({"type": "lifespan"}, receive, send)
        assert sent == []

    asyncio.run(main())
