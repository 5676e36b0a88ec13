"""As much of a lab as routes need, with one VM, and requests to it without HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from starlette.applications import Starlette
from starlette.types import Message

from labplane import NotFound, Request, Route
from labplane.api.table import RouteTable
from labplane.validation.schemas import Schemas

PROJECT = "00000000-0000-0000-0000-00000000000a"

ABSENT = "00000000-0000-0000-0000-00000000000b"


class OneVM:
    """As much of a VM as routing knows."""

    def __init__(self) -> None:
        self.id = PROJECT
        self.lock = asyncio.Lock()
        self.gone = False
        self.driver = SimpleNamespace(kind="box")


class Directory:
    """A lab with one project and one VM in it, both of the id PROJECT."""

    max_body = 1000
    max_depth = 999

    def __init__(self) -> None:
        self.vm = OneVM()
        self.tasks: list[asyncio.Task[Any]] = []

    def require_project(self, project_id: str) -> None:
        if project_id != PROJECT:
            raise NotFound("no project")

    def find_vm(self, project_id: str | None, vm_id: str) -> Any:
        if vm_id != PROJECT:
            raise NotFound("no VM")
        return self.vm

    def background(self, operation: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.ensure_future(operation))
        return self.tasks[-1]


async def turns_until(look: Callable[[], object]) -> None:
    """Let the event loop turn until `look` gives something true; fail after 1,000 turns.

    A loop that never waits can swallow what pytest-timeout raises in it, so it needs its own bound.
    """
    for _ in range(1000):
        if look():
            return
        await asyncio.sleep(0)
    raise AssertionError("waited 1,000 turns of the event loop in vain")


async def nothing(_: Request) -> None:
    pass


def table(*routes: Route, lab: Directory | None = None) -> RouteTable:
    schemas = Schemas()
    made = RouteTable(lab or Directory())
    made.add(made.compile(routes, schemas))
    return made


def application(*routes: Route, lab: Directory | None = None) -> Starlette:
    app = Starlette(routes=table(*routes, lab=lab).starlette_routes())
    app.router.redirect_slashes = False
    return app


async def ask(
    app: Callable[..., Awaitable[None]], method: str, path: str, body: bytes = b"", *, length: bool = True
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of the reply."""
    chunks = [body[:3], body[3:]] if body else [b""]
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False
    headers = [(b"content-length", str(len(body)).encode())] if length else [(b"transfer-encoding", b"chunked")]
    sent: list[Message] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }
    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0].get("headers", [])}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


def asked(app: Starlette, method: str, path: str, body: bytes = b"", **more: Any) -> tuple[int, dict[str, str], bytes]:
    return asyncio.run(ask(app, method, path, body, **more))
