"""The API for Python scripts: `Client`, and `AsyncClient`, which is the same with `await`; see docs/clients.md."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import quote

import httpx2

from labplane_client.errors import ClientError

if TYPE_CHECKING:
    from labplane_client.consoles import AsyncConsole, Console

P = ParamSpec("P")
T = TypeVar("T")
LOCAL = "http://127.0.0.1:8000"
SECONDS = httpx2.Timeout(90, connect=10)  # a driver may take 60, and requests for one VM wait for each other


@dataclass(frozen=True)
class Project:
    project_id: str
    name: str | None
    path: str
    location: str
    temporary: bool


@dataclass(frozen=True)
class VM:
    """As the server described it; properties: what its kind has besides, such as "startup_script"."""

    kind: str
    project_id: str
    vm_id: str
    name: str
    status: str
    console: int | None
    vm_directory: str | None
    properties: Mapping[str, Any]


End = VM | tuple[VM, int, int]  # where a link is plugged in: a VM, the adapter and its port; 0 and 0 unless given


class operation(Generic[P, T]):  # noqa: N801 - a decorator
    """A coroutine, as a method of both clients; in `Client` nothing that it awaits has to be waited for."""

    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    def __get__(self, client: Any, owner: type) -> Any:
        method = self.function.__get__(client)
        return self if client is None else method if isinstance(client, AsyncClient) else _without_waiting(method)


def _without_waiting(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    def call(*given: P.args, **named: P.kwargs) -> T:
        try:
            method(*given, **named).send(None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        raise AssertionError("it waited")

    return call


class Operations(ABC):
    """What both clients can do. A project is given as it came from the server, or by its id. All raise ClientError."""

    http: httpx2.Client | httpx2.AsyncClient

    @abstractmethod
    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None, patience: Any) -> httpx2.Response: ...

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, patience: Any = httpx2.USE_CLIENT_DEFAULT
    ) -> Any:
        try:
            reply = await self._send(method, path, body, patience)
            value: Any = reply.json() if reply.content else None
            refusal = None if reply.is_success else str(value["message"])
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ClientError(None, f"{self.http.base_url} does not answer: {error or type(error).__name__}") from error
        except (ValueError, KeyError, TypeError) as error:
            text = f"{reply.url} does not answer like labplane: {reply.status_code} {reply.text[:200]}"
            raise ClientError(reply.status_code, text) from error
        if refusal is not None:
            raise ClientError(reply.status_code, refusal)
        return value

    @operation
    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the server replies, in JSON types, None if nothing: for routes that have no method here."""
        return await self._ask(method, path, body)

    @operation
    async def version(self) -> str:
        return str((await self._ask("GET", "/v1/version"))["version"])

    @operation
    async def plugins(self) -> list[dict[str, Any]]:
        return list(await self._ask("GET", "/v1/plugins"))

    @operation
    async def status(self) -> dict[str, Any]:
        """What the page at /status shows: version, projects with their VMs, ports, plugins, load."""
        return dict(await self._ask("GET", "/v1/status"))

    @operation
    async def interfaces(self) -> list[str]:
        """The names of the server's network interfaces."""
        return [interface["name"] for interface in await self._ask("GET", "/v1/interfaces")]

    @operation
    async def projects(self) -> list[Project]:
        return [_project(one) for one in await self._ask("GET", "/v1/projects")]

    @operation
    async def closed_projects(self) -> list[Project]:
        """Those whose files are kept; create_project(project_id=…) opens one again."""
        return [_project(one) for one in await self._ask("GET", "/v1/closed-projects")]

    @operation
    async def project(self, project: Project | str) -> Project:
        return _project(await self._ask("GET", _at(project)))

    @operation
    async def create_project(self, /, **members: Any) -> Project:
        """members: name, path, temporary; project_id to open one whose files are there."""
        return _project(await self._ask("POST", "/v1/projects", members))

    @operation
    async def update_project(self, project: Project | str, /, **members: Any) -> Project:
        """members: name, path, temporary."""
        return _project(await self._ask("PUT", _at(project), members))

    @operation
    async def commit_project(self, project: Project | str) -> None:
        """Delete the files of deleted VMs."""
        await self._ask("POST", _at(project, "commit"))

    @operation
    async def close_project(self, project: Project | str) -> None:
        """Stop and forget its VMs, keep its files."""
        await self._ask("POST", _at(project, "close"))

    @operation
    async def delete_project(self, project: Project | str) -> None:
        await self._ask("DELETE", _at(project))

    @operation
    async def vms(self, project: Project | str, kind: str) -> list[VM]:
        return [_vm(kind, one) for one in await self._ask("GET", _at(project, kind, "vms"))]

    @operation
    async def vm(self, project: Project | str, kind: str, vm_id: str) -> VM:
        return _vm(kind, await self._ask("GET", _at(project, kind, "vms", vm_id)))

    @operation
    async def create_vm(self, project: Project | str, kind: str, name: str, /, **members: Any) -> VM:
        """members: console, vm_id, and what that kind has."""
        return _vm(kind, await self._ask("POST", _at(project, kind, "vms"), {"name": name, **members}))

    @operation
    async def update_vm(self, vm: VM, /, **members: Any) -> VM:
        """members: name, console, and what its kind has."""
        return _vm(vm.kind, await self._ask("PUT", _at(vm), members))

    @operation
    async def delete_vm(self, vm: VM) -> None:
        await self._ask("DELETE", _at(vm))

    @operation
    async def start(self, vm: VM) -> None:
        await self._ask("POST", _at(vm, "start"))

    @operation
    async def stop(self, vm: VM) -> None:
        await self._ask("POST", _at(vm, "stop"))

    @operation
    async def reload(self, vm: VM) -> None:
        await self._ask("POST", _at(vm, "reload"))

    @operation
    async def suspend(self, vm: VM) -> None:
        await self._ask("POST", _at(vm, "suspend"))

    @operation
    async def resume(self, vm: VM) -> None:
        await self._ask("POST", _at(vm, "resume"))

    @operation
    async def topology(self, project: Project | str) -> dict[str, Any]:
        """Its nodes with their places and ports, and what is linked to what."""
        return dict(await self._ask("GET", _at(project, "topology")))

    @operation
    async def answer(self, vm: VM, line: str, *, until: str | None = None, timeout: float = 30.0) -> dict[str, Any]:
        """Type a line at its console: "output" until the next prompt or this regular expression, "ended_by"."""
        body = {"line": line, "timeout": timeout, **({} if until is None else {"until": until})}
        return dict(await self._ask("POST", _at(vm, "exec"), body, httpx2.Timeout(timeout + 30, connect=10)))

    @operation
    async def udp_port(self, project: Project | str | None = None) -> int:
        """A UDP port at the server, for a link: the project's until then, or for an hour nobody else's."""
        path = "/v1/ports/udp" if project is None else _at(project, "ports", "udp")
        return int((await self._ask("POST", path))["udp_port"])

    @operation
    async def plug(self, end: End, nio: Mapping[str, Any]) -> None:
        """nio: {"type": "nio_tap", "tap_device": "tap0"} or another that the kind takes."""
        await self._ask("POST", _nio(end), nio)

    @operation
    async def unplug(self, end: End) -> None:
        await self._ask("DELETE", _nio(end))

    @operation
    async def link(self, one: End, other: End) -> None:
        """Link two ports in which nothing is plugged; if one of them refuses, nothing is in the other afterwards."""
        lport, rport = [(await self._ask("POST", "/v1/ports/udp"))["udp_port"] for _ in range(2)]
        await self._ask("POST", _nio(one), _udp(lport, rport))
        try:
            await self._ask("POST", _nio(other), _udp(rport, lport))
        except BaseException:
            with suppress(ClientError):  # whose lport is replaced or unplugged comes back: so does each of the two
                await self._ask("POST", _nio(one), _udp(rport, lport))
            with suppress(ClientError):
                await self._ask("DELETE", _nio(one))
            raise

    @operation
    async def unlink(self, one: End, other: End) -> None:
        try:
            await self._ask("DELETE", _nio(one))
        finally:
            await self._ask("DELETE", _nio(other))


class Client(Operations):
    """token: of a server that wants one. http: to be used in place of an httpx2.Client for that URL and token."""

    def __init__(self, url: str = LOCAL, *, token: str | None = None, http: httpx2.Client | None = None) -> None:
        self.http: httpx2.Client = http or httpx2.Client(**_given(url, token))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def console(self, vm: VM, prompt: bytes | None = None) -> "AbstractContextManager[Console]":
        """Its console, to look at and to type at; prompt: a regular expression of where it waits for a line."""
        from labplane_client.consoles import PROMPT, open_console

        return open_console(self.http, _at(vm, "console"), prompt or PROMPT)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None, patience: Any) -> httpx2.Response:
        return self.http.request(method, path, json=body, timeout=patience)


class AsyncClient(Operations):
    """token: of a server that wants one. http: to be used in place of an httpx2.AsyncClient for that URL and token."""

    def __init__(self, url: str = LOCAL, *, token: str | None = None, http: httpx2.AsyncClient | None = None) -> None:
        self.http: httpx2.AsyncClient = http or httpx2.AsyncClient(**_given(url, token))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    def console(self, vm: VM, prompt: bytes | None = None) -> "AbstractAsyncContextManager[AsyncConsole]":
        """Its console, to look at and to type at; prompt: a regular expression of where it waits for a line."""
        from labplane_client.consoles import PROMPT, open_async_console

        return open_async_console(self.http, _at(vm, "console"), prompt or PROMPT)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None, patience: Any) -> httpx2.Response:
        return await self.http.request(method, path, json=body, timeout=patience)


def _given(url: str, token: str | None) -> dict[str, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    verify = url.lower().startswith("https:")  # to read the certificates of authorities takes long, for nothing else
    return {"base_url": url, "timeout": SECONDS, "trust_env": False, "headers": headers, "verify": verify}


def _project(reply: Any) -> Project:
    return Project(**{field.name: reply.get(field.name) for field in fields(Project)})


def _vm(kind: str, reply: Any) -> VM:
    own = {field.name for field in fields(VM)} - {"kind", "properties"}
    properties = {name: value for name, value in reply.items() if name not in own}
    return VM(kind=kind, properties=properties, **{name: reply.get(name) for name in own})


def _at(what: Project | VM | str, *steps: str) -> str:
    """The path of a project or VM, or of what is below it."""
    above = [] if isinstance(what, Project | str) else [what.project_id, what.kind, "vms"]
    here = what if isinstance(what, str) else what.project_id if isinstance(what, Project) else what.vm_id
    return "/".join(["/v1/projects", *(quote(step, safe="") for step in (*above, here, *steps))])


def _nio(end: End) -> str:
    vm, adapter, port = (end, 0, 0) if isinstance(end, VM) else end
    return _at(vm, "adapters", str(adapter), "ports", str(port), "nio")


def _udp(lport: int, rport: int) -> Mapping[str, Any]:
    return {"lport": lport, "rhost": "127.0.0.1", "rport": rport, "type": "nio_udp"}
