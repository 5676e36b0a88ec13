"""The Starlette application of a lab, and its lifespan."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from labplane.api.replies import JSONReply, crash, envelope
from labplane.api.websockets import socket_routes
from labplane.kernel import Kernel
from labplane.server.auth import TokenAuth
from labplane.server.counting import RequestCount
from labplane.server.limits import RequestLimit
from labplane.server.origin import OriginCheck

log = logging.getLogger("labplane")


def make_app(lab: Kernel, token: str | None = None, *, started: bool = False) -> Starlette:
    """The ASGI application that serves `lab`; its lifespan starts and ends it.

    token:   what clients need to come in; None lets in whoever comes.
    started: the lab is started already when the lifespan begins.
    """
    settings = lab.settings
    host = settings.host if settings.uds is None else "localhost"
    middleware = [Middleware(RequestCount, measures=lab.measures)]
    middleware += [Middleware(RequestLimit, at_once=settings.max_requests)]
    middleware += [Middleware(OriginCheck, host=host, names=settings.allow_hosts, origins=settings.cors_origins)]
    if settings.cors_origins:
        methods, headers = ("GET", "POST", "PUT", "DELETE"), ("Authorization", "Content-Type")
        origins = settings.cors_origins
        middleware.append(
            Middleware(CORSMiddleware, allow_origins=origins, allow_methods=methods, allow_headers=headers)
        )
    if token is not None:
        middleware.append(Middleware(TokenAuth, token=token))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if not started:
            await lab.start()
        try:
            yield
        finally:
            await lab.end()

    app = Starlette(
        routes=[*lab.routes.starlette_routes(), *socket_routes(lab.routes, lab)],
        middleware=middleware,
        exception_handlers={HTTPException: partial(_refused, lab), Exception: _crashed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def _refused(lab: Kernel, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if error.status_code == HTTPStatus.NOT_FOUND:
        return envelope(lab.unknown(request.url.path))
    return JSONReply({"status": error.status_code, "message": error.detail}, error.status_code, error.headers)


async def _crashed(_: Request, __: Exception) -> Response:
    return crash()
