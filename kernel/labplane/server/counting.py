"""Middleware that notes each request: whose it is for the log, how it was answered for the measures."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labplane.api.requests import Resource
from labplane.api.route import METHODS
from labplane.measures import Measures
from labplane.server.logs import client

KNOWN = {*METHODS, "HEAD", "OPTIONS"}
OTHER = "other"  # since a client may send any word as a method, and ask for any path


class RequestCount:
    """Middleware that measures requests by method, route and status, those that are refused on their way too."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        peer = scope.get("client")
        client.set(str(peer[0]) if peer else "unix")
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0  # of a request whose client hung up

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            resource = scope.get("endpoint")
            self._measures.add(
                "request",
                time.perf_counter() - began,
                method=scope["method"] if scope["method"] in KNOWN else OTHER,
                route=resource.path if isinstance(resource, Resource) else OTHER,
                status=str(status),
            )
