"""A reply without an end: the events of a subscription, sent until the client hangs up or the subscription ends."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from labplane import Subscription


class Stream(Response):
    """Sends `chunks`, which are made from `subscription`, and closes it when the client is gone or the stream ends."""

    def __init__(self, subscription: Subscription, chunks: AsyncIterator[str], media_type: str) -> None:
        super().__init__(headers={"content-type": media_type, "cache-control": "no-store"})
        del self.headers["content-length"]
        self._subscription = subscription
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        with self._subscription:
            watch = asyncio.ensure_future(until_gone())
            watch.add_done_callback(lambda _: self._subscription.close())
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                if scope["method"] != "HEAD":
                    async for chunk in self._chunks:
                        await send({"type": "http.response.body", "body": chunk.encode(), "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                watch.cancel()
