"""The steps that every request goes through: read, parse, validate, look up, lock, answer."""

import asyncio
import logging
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from labplane.api.replies import JSONReply, envelope, failed
from labplane.api.route import WEBSOCKET, Endpoint, Request, Route, pieces
from labplane.errors import BadRequest, ClientGone, LabError, MethodNotAllowed, NotFound, TooLarge
from labplane.machines.vm import VM
from labplane.validation import jsonbody
from labplane.validation.named import UUID
from labplane.validation.schemas import Rule

log = logging.getLogger("labplane")

_uuid = re.compile(UUID["pattern"][:-1] + r"\Z")


class Directory(Protocol):
    """The part of the lab that requests need."""

    @property
    def max_body(self) -> int: ...

    @property
    def max_depth(self) -> int: ...

    def require_project(self, project_id: str) -> None: ...

    def find_vm(self, project_id: str | None, vm_id: str) -> VM: ...

    def background(self, operation: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]: ...


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route with the rule for its request bodies."""

    route: Route
    rule: Rule | None


@dataclass(slots=True)
class Resource:
    """One path with all its methods, as an ASGI application."""

    path: str
    lab: Directory
    methods: dict[str, CompiledRoute] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._answer(scope, receive)
        except LabError as error:
            response = envelope(error)
        except ClientGone:
            return
        except Exception as error:
            response = failed(error, f"{scope['method']} {scope['path']}")
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        compiled = self._method(scope["method"])
        value: Any = {}
        if not compiled.route.streams and (body := await read_body(scope, receive, self.lab.max_body)):
            value = jsonbody.parse(body, self.lab.max_depth)
        reply = await self._perform(compiled, value, scope["path_params"], scope, receive)
        if isinstance(reply, Response):
            return reply
        if reply is None:
            return Response(status_code=compiled.route.status)
        return JSONReply(reply, compiled.route.status)

    async def ask(self, method: str, value: Any, path: dict[str, Any]) -> Any:
        """The result of the endpoint, asked from within and not over HTTP."""
        scope = {"type": "http", "method": method, "path": self.path, "headers": []}
        return await self._perform(self._method(method), value, path, scope, None)

    def _method(self, method: str) -> CompiledRoute:
        compiled = self.methods.get("GET" if method == "HEAD" else method)
        if compiled is None or method == WEBSOCKET:
            has = sorted({*self.methods, *(["HEAD"] if "GET" in self.methods else [])})
            allow = tuple(one for one in has if one != WEBSOCKET)
            raise MethodNotAllowed(f"{method} is not offered at {self.path}; it has {', '.join(has)}.", allow)
        return compiled

    async def _perform(
        self, compiled: CompiledRoute, value: Any, path: dict[str, Any], scope: Scope, receive: Receive | None
    ) -> Any:
        if compiled.rule is not None and (reason := compiled.rule.complaint(value)):
            raise BadRequest(f"The request does not fit its schema: {reason}.")
        vm = look_up(self.lab, path, compiled.route.kind)
        if vm is not None:
            return await self._finish(_locked(vm, compiled.route.endpoint, Request(value, path, vm, scope)))
        reply = compiled.route.endpoint(Request(value, path, None, scope, receive))
        if isinstance(reply, Coroutine):
            in_place = compiled.route.streams or scope["method"] in ("GET", "HEAD")
            reply = await (reply if in_place else self._finish(reply))
        return reply

    async def _finish(self, operation: Coroutine[Any, Any, Any]) -> Any:
        """Await `operation`, which runs to its end even if this wait is cancelled (L-4)."""
        return await asyncio.shield(self.lab.background(operation))


def look_up(lab: Directory, path: dict[str, Any], kind: str | None) -> VM | None:
    """The VM whose id is among the parameters of a path, None if there is none; ids are put into lower case (E-3).

    kind: that the VM must be of, None for any.

    Raises BadRequest for an id of the wrong form, NotFound for a project or VM that does not exist.
    """
    project_id = path.get("project_id")
    if project_id is not None:
        path["project_id"] = project_id = parse_uuid(project_id, "project_id")
        lab.require_project(project_id)
    if "vm_id" not in path:
        return None
    path["vm_id"] = parse_uuid(path["vm_id"], "vm_id")
    vm = lab.find_vm(project_id, path["vm_id"])
    if kind not in (None, vm.driver.kind):
        raise NotFound(f"There is no {kind} VM {vm.id}; it is of kind {vm.driver.kind}.")
    return vm


async def _locked(vm: VM, endpoint: Endpoint, request: Request) -> Any:
    async with vm.lock:
        if vm.gone:
            raise NotFound(f"The VM {vm.id} was deleted meanwhile.")
        reply = endpoint(request)
        return await reply if isinstance(reply, Coroutine) else reply


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole request body, of at most `limit` bytes. Raises TooLarge, at once if its length is announced."""
    announced: bytes | None = None
    chunked = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            announced = value
        elif name == b"transfer-encoding":
            chunked = True
    if not chunked and announced in (None, b"0"):
        return b""
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    body = bytearray()
    async for piece in pieces(receive):
        body += piece
        if len(body) > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.")
    return bytes(body)


def parse_uuid(text: str, name: str) -> str:
    """`text` in lower case. Raises BadRequest unless it has the form 8-4-4-4-12 (E-4)."""
    if not _uuid.match(text):
        raise BadRequest(f"{name} {text[:60]!r} is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.")
    return text.lower()
