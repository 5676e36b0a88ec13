"""`Route`, the contract of routes, and `Request`, the argument of their endpoints."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope

from labplane.errors import ClientGone
from labplane.machines.vm import VM
from labplane.validation.schemas import Schema

JSON = "application/json"
WEBSOCKET = "WEBSOCKET"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", WEBSOCKET)
PARAMETER = re.compile(r"{([a-z_]+)(:[a-z]+)?}")


@dataclass(frozen=True, slots=True)
class Request:
    """The argument of an endpoint.

    body:   the parsed JSON, which fits the route's schema; {} when the request had none.
    path:   the parameters of the route's path; ids in lower case.
    vm:     the VM whose ``{vm_id}`` the path names, its lock held (not for a WebSocket); else None.
    scope:  the ASGI scope, for everything else.
    """

    body: Any
    path: Mapping[str, Any]
    vm: VM | None
    scope: Scope
    receive: Receive | None = None

    @property
    def project_id(self) -> str:
        """The path's ``{project_id}``, of a project that is open."""
        return str(self.path["project_id"])

    def stream(self) -> AsyncIterator[bytes]:
        """The body, piece by piece as it arrives, and once; only for a route that ``streams``.

        Ends with an exception when the client hangs up before its end.
        """
        assert self.receive is not None, "the route does not stream"  # noqa: S101
        return pieces(self.receive)


Endpoint = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One method at one path.

    method:   GET, POST, PUT, PATCH, DELETE or WEBSOCKET. Anything but GET and WEBSOCKET runs to its end even if the
              client hangs up.
    path:     from the root, with parameters: "/v1/projects/{project_id}/things/{number:int}". A ``project_id`` is
              checked to be the id of an open project, a ``vm_id`` to be a VM (of that project, if both are there),
              before the endpoint runs; with ``vm_id`` the VM's lock is held, except for a WEBSOCKET.
    endpoint: ``def endpoint(request)``, async if it has to wait for anything (a plain one must not block); returns
              the reply's value in JSON types, None for no body, or a Starlette Response. The endpoint of a WEBSOCKET is
              ``async def endpoint(request, websocket)``: it accepts the Starlette WebSocket, or raises a LabError.
    body:     JSON Schema of the request body; None means that its content is ignored (it must still be JSON).
    reply:    JSON Schema of the reply, for the documentation; None for no body.
    status:   of a successful reply.
    summary:  a few words for the documentation: "Count the VMs".
    refusals: the statuses of the LabErrors that the endpoint raises, for the documentation; not those that any request
              may meet, nor 404 for a ``project_id`` or ``vm_id`` in the path.
    media:    the content type of a successful reply.
    offered:  False for a route that is not part of the API and stays out of its document: one that does nothing but
              say that something cannot be done, or has a part of a page.
    streams:  the endpoint reads the body itself, of any length and form, with ``request.stream()``. Its path names no
              VM, whose lock a slow client would hold; and it is ended with its request, so whatever must be finished
              is for ``lab.background``.
    yields:   it serves only until another plugin brings a route of that method and path, in whatever order they come.
    kind:     of the VM that a ``vm_id`` in the path has to be; one of another kind is 404. None for any.
    """

    method: str
    path: str
    endpoint: Endpoint
    body: Schema | None = None
    reply: Schema | None = None
    status: int = 200
    summary: str = ""
    refusals: tuple[int, ...] = ()
    media: str = JSON
    offered: bool = True
    streams: bool = False
    yields: bool = False
    kind: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the route, which no other may have: its method, and its path without names of parameters."""
        return self.method, PARAMETER.sub(r"{\2}", self.path)


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The request body, piece by piece as it arrives. Raises ClientGone when the client hangs up before its end."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        yield message.get("body", b"")
        more = message.get("more_body", False)
