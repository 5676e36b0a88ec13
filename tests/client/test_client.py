"""`labplane.client`, both of them, against the document of the API and a server with a third party's kind of VM."""

import asyncio
import re
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import httpx2
import pytest

from fragile import Fragile
from inprocess import Served, offering, own, serving
from labplane import BadRequest, Plugin, Request, Route, hook
from labplane.client import VM, AsyncClient, Client, ClientError, Operations, Project, operation
from labplane.plugins.loading import Candidate
from labplane.settings import Settings
from labplane.validation.thorough import LabValidator, Validator

WITHOUT_A_METHOD = {
    ("GET", "/v1/openapi.json"): "for programs that generate clients",
    ("GET", "/"): "a page",
    ("GET", "/status"): "likewise",
    ("GET", "/docs"): "likewise",
    ("GET", "/metrics"): "for Prometheus",
    ("POST", "/v1/version"): "a question of desktop programs; a script compares what version() says",
    ("POST", "/v1/server/shutdown"): "who started the server ends it, with a signal",
    ("POST", "/v1/config/reload"): "likewise",
    ("GET", "/v1/projects/{project_id}/fragile/vms/{vm_id}/ports"): "scripts link by adapter and port",
    ("GET", "/v1/projects/{project_id}/fragile/vms/{vm_id}/adapters/{adapter}/ports/{port}/nio"): "topology() has it",
    ("PATCH", "/v1/projects/{project_id}/topology"): "for programs that draw labs",
    ("POST", "/v1/projects/{project_id}/links"): "link() works with servers that lack it",
    ("DELETE", "/v1/projects/{project_id}/links/{link_id}"): "likewise",
    ("GET", "/v1/{kind}/vms"): "images are the business of programs that upload them",
    ("POST", "/v1/{kind}/vms/{path}"): "no JSON: a stream of bytes, for any HTTP client",
    ("DELETE", "/v1/{kind}/vms/{path}"): "likewise",
    ("GET", "/v1/lab.schema.json"): "for editors",
    ("GET", "/v1/kinds"): "for `labplane doctor`",
    ("POST", "/v1/labs"): "the text of a file, for any HTTP client",
    ("GET", "/v1/projects/{project_id}/files"): "what it lists is fetched without this client",
    ("GET", "/v1/projects/{project_id}/files/{path}"): "no JSON: a stream of bytes, for any HTTP client",
    ("POST", "/v1/projects/{project_id}/files/{path}"): "likewise",
    ("GET", "/v1/projects/{project_id}/export"): "likewise",
    ("POST", "/v1/projects/{project_id}/import"): "likewise",
    ("GET", "/v1/projects/{project_id}/notifications"): "a stream without an end",
    ("GET", "/v1/events"): "likewise",
}  # call() is there for them

METHODS = {name for name, member in vars(Operations).items() if isinstance(member, operation)}

Hook = Callable[[httpx2.Request], Any]


class Exchange(NamedTuple):
    request: httpx2.Request
    reply: httpx2.Response


class Both:
    """A client under test: what it was asked to do, and what it sent and received.

    do: calls a method, and waits for it where that is needed.
    """

    def __init__(self, client: Client | AsyncClient, do: Callable[..., Any], exchanges: list[Exchange]) -> None:
        self.client = client
        self._do = do
        self.asked: set[str] = set()
        self.exchanges = exchanges

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def method(*given: Any, **named: Any) -> Any:
            self.asked.add(name)
            return self._do(getattr(self.client, name), *given, **named)

        return method


@contextmanager
def waiting(url: str, before: Hook) -> Iterator[Both]:
    exchanges: list[Exchange] = []

    def answered(reply: httpx2.Response) -> None:
        reply.read()
        exchanges.append(Exchange(reply.request, reply))

    hooks: Any = {"request": [before], "response": [answered]}
    with Client(http=httpx2.Client(base_url=url, trust_env=False, event_hooks=hooks)) as client:
        yield Both(client, lambda method, *given, **named: method(*given, **named), exchanges)


@contextmanager
def awaited(url: str, before: Hook) -> Iterator[Both]:
    exchanges: list[Exchange] = []

    async def asking(request: httpx2.Request) -> None:
        before(request)

    async def answered(reply: httpx2.Response) -> None:
        await reply.aread()
        exchanges.append(Exchange(reply.request, reply))

    hooks: Any = {"request": [asking], "response": [answered]}
    with asyncio.Runner() as runner:

        async def closed() -> None:
            async with client:
                pass

        def do(method: Callable[..., Coroutine[Any, Any, Any]], *given: Any, **named: Any) -> Any:
            return runner.run(method(*given, **named))

        client = AsyncClient(http=httpx2.AsyncClient(base_url=url, trust_env=False, event_hooks=hooks))
        try:
            yield Both(client, do, exchanges)
        finally:
            runner.run(closed())


class Lines(Plugin):
    """A route that the client has no method for."""

    @hook
    def routes(self) -> list[Route]:
        return [Route("PUT", "/v1/lines", self.put, {"type": "object"}, {"type": "object"}, 200, "", (400,))]

    def put(self, request: Request) -> Any:
        if "lines" not in request.body:
            raise BadRequest("Say how many lines.")
        return {"drawn": request.body["lines"]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    others = [candidate for candidate in own() if candidate.name != "projects"]
    lines = Candidate("lines", lambda: Lines, "labplane-lines", "1")
    with serving(tmp_path, [*others, offering(Fragile), lines], local=True) as served:
        yield served


@pytest.fixture(params=[waiting, awaited], ids=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Both]]:
    """Makes a client of a URL; a second argument is called with each request before it is sent."""
    with ExitStack() as stack:
        yield lambda url, before=lambda _: None: stack.enter_context(request.param(url, before))


@pytest.fixture
def lab(connect: Callable[..., Both], server: Served) -> Both:
    return connect(server.url)


def everything(lab: Both) -> None:
    """Call every method."""
    assert lab.version() == "1.3.dev1"
    assert "vpcs" in [plugin["name"] for plugin in lab.plugins()]
    assert "lo" in lab.interfaces()
    assert lab.status()["projects"] == []
    project = lab.create_project(name="Kernel")
    assert lab.projects() == [project] == [lab.project(project.project_id)]
    assert lab.update_project(project, name="Other").name == "Other"
    one = lab.create_vm(project, "fragile", "One", size=3)
    two = lab.create_vm(project, "vpcs", "Two")
    assert two.properties["startup_script"] is None
    assert lab.vms(project, "fragile") == [one] == [lab.vm(project.project_id, "fragile", one.vm_id)]
    one = lab.update_vm(one, name="First", size=4)
    assert (one.name, one.properties) == ("First", {"size": 4})
    lab.link((one, 1, 1), two)
    assert [len(link["ends"]) for link in lab.topology(project)["links"]] == [2]
    lab.start(two)
    assert lab.answer(two, "show ip")["ended_by"] == "prompt"
    lab.stop(two)
    lab.unlink((one, 1, 1), two)
    nio = {"type": "nio_udp", "lport": lab.udp_port(), "rhost": "127.0.0.1", "rport": lab.udp_port(project)}
    lab.plug(one, nio)
    for action, status in [
        ("start", "started"),
        ("suspend", "suspended"),
        ("resume", "started"),
        ("reload", "started"),
        ("stop", "stopped"),
    ]:
        getattr(lab, action)(one)
        assert lab.vm(project, "fragile", one.vm_id).status == status
    lab.unplug(one)
    lab.delete_vm(one)
    lab.commit_project(project)
    assert [vm.name for vm in lab.vms(project, "fragile") + lab.vms(project, "vpcs")] == ["Two"]
    lab.close_project(project)
    assert [closed.project_id for closed in lab.closed_projects()] == [project.project_id]
    again = lab.create_project(project_id=project.project_id)
    lab.delete_project(again)
    assert lab.projects() == []
    assert lab.call("PUT", "/v1/lines", {"lines": 3}) == {"drawn": 3}


def template(found: Mapping[str, Any], path: str) -> str:
    """The path of the document that stands for that of a request."""
    fits = [one for one in found["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", re.sub(r"\.", r"\\.", one)), path)]
    assert len(fits) == 1, f"{path} is none of the document's, or several: {fits}"
    return str(fits[0])


def schema(found: Mapping[str, Any], content: Mapping[str, Any]) -> Validator:
    return LabValidator({**found, **content["content"]["application/json"]["schema"]})


def test_the_client_says_and_expects_what_the_document_says(lab: Both, server: Served) -> None:
    """Each request is an operation of the document, with its body, its status and its reply; none is forgotten."""
    found = server.lab.document()
    everything(lab)
    assert lab.asked == METHODS
    made = set()
    for request, reply in lab.exchanges:
        path = template(found, request.url.path)
        made.add((request.method, path))
        described = found["paths"][path][request.method.lower()]
        (status,) = [code for code in described["responses"] if code.startswith("2")]
        assert str(reply.status_code) == status, f"{request.method} {path}"
        if request.content:
            schema(found, described["requestBody"]).validate(httpx2.Response(200, content=request.content).json())
        else:
            assert not described.get("requestBody", {}).get("required")
        if reply.content:
            schema(found, described["responses"][status]).validate(reply.json())
    there = {
        (method.upper(), path.replace("/vpcs/", "/fragile/"))
        for path, methods in found["paths"].items()
        for method in methods
    }
    made = {(method, path.replace("/vpcs/", "/fragile/")) for method, path in made}
    assert there - made == WITHOUT_A_METHOD.keys()


def types(annotation: Any) -> set[type]:
    return set(get_args(annotation) or [annotation])


def documented(schema: Mapping[str, Any]) -> set[type]:
    if "enum" in schema:
        return {type(value) for value in schema["enum"]}
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {{"string": str, "integer": int, "boolean": bool, "null": type(None)}[name] for name in names}


@pytest.mark.parametrize(
    ("cls", "name", "apart"), [(Project, "Project", set()), (VM, "FragileVM", {"kind", "properties"})]
)
def test_the_types_of_the_client_are_those_of_the_document(
    cls: type, name: str, apart: set[str], server: Served
) -> None:
    schemas = server.lab.document()["components"]["schemas"]
    members = {
        member: schemas[one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one
        for member, one in schemas[name]["properties"].items()
        if member not in Fragile.properties
    }
    hints = get_type_hints(cls)
    assert members.keys() == hints.keys() - apart
    for member, one in members.items():
        absent = set() if member in schemas[name]["required"] else {type(None)}
        assert types(hints[member]) == documented(one) | absent, member


def test_a_refusal_is_the_sentence_of_the_server(lab: Both) -> None:
    with pytest.raises(ClientError) as caught:
        lab.project("00000000-0000-0000-0000-000000000000")
    assert caught.value.status == 404
    assert caught.value.message == lab.exchanges[-1].reply.json()["message"] == str(caught.value)


def test_what_a_user_types_stays_within_its_step_of_the_path(lab: Both) -> None:
    with pytest.raises(ClientError) as caught:
        lab.project("a?b#c")
    assert caught.value.status == 400
    assert lab.exchanges[-1].request.url.raw_path == b"/v1/projects/a%3Fb%23c"


def test_without_a_server_the_client_says_so(connect: Callable[..., Both]) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ClientError, match=re.escape(url) + " does not answer: ") as caught:
            connect(url).version()
    assert caught.value.status is None


@pytest.mark.parametrize(("path", "status"), [("/page", 200), ("/missing", 404), ("/list", 418)])
def test_what_is_no_reply_of_labplane_is_told_from_a_refusal(
    path: str, status: int, connect: Callable[..., Both], tmp_path: Path
) -> None:
    async def foreign(scope: Any, receive: Any, send: Any) -> None:
        text = b"[1]" if status == 418 else b"<html>Hello</html>"
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": text})

    def around(app: Any) -> Any:
        async def either(scope: Any, receive: Any, send: Any) -> None:
            await (app if scope["type"] == "lifespan" else foreign)(scope, receive, send)

        return either

    with serving(tmp_path, [], around) as server:
        with pytest.raises(ClientError, match="does not answer like labplane") as caught:
            connect(server.url).call("GET", path)
        assert caught.value.status == status


def test_a_link_whose_other_end_refuses_leaves_nothing(lab: Both, server: Served) -> None:
    project = lab.create_project()
    one, two = (lab.create_vm(project, "fragile", name) for name in "AB")
    first = lab.udp_port()
    with pytest.raises(ClientError, match="no port 7") as caught:
        lab.link(one, (two, 0, 7))
    assert caught.value.status == 409
    nios = [vm.nios for vm in server.lab.vms.of(project.project_id)]
    assert nios == [{}, {}]
    assert len(server.lab.udp) == 1
    assert lab.udp_port() == first + 1


def test_a_link_that_is_interrupted_leaves_nothing(connect: Callable[..., Both], server: Served) -> None:
    """By Ctrl-C for one."""
    interrupt = [False]

    def before(request: httpx2.Request) -> None:
        if interrupt[0] and two.vm_id in request.url.path:
            raise Interrupted

    lab = connect(server.url, before)
    project = lab.create_project()
    one, two = (lab.create_vm(project, "fragile", name) for name in "AB")
    interrupt[0] = True
    with pytest.raises(Interrupted):
        lab.link(one, two)
    assert [vm.nios for vm in server.lab.vms.of(project.project_id)] == [{}, {}]
    assert len(server.lab.udp) == 0


class Interrupted(BaseException):
    pass


def test_the_other_end_is_unplugged_although_the_one_is_gone(lab: Both, server: Served) -> None:
    project = lab.create_project()
    one, two = (lab.create_vm(project, "fragile", name) for name in "AB")
    lab.link(one, two)
    lab.delete_vm(one)
    with pytest.raises(ClientError) as caught:
        lab.unlink(one, two)
    assert caught.value.status == 404
    assert [vm.nios for vm in server.lab.vms.of(project.project_id)] == [{}]


def test_a_kind_may_have_properties_of_any_name(server: Served, connect: Callable[..., Both]) -> None:
    """Also of those that the client has for its own purposes; the server refuses them here, for it knows none."""
    lab = connect(server.url)
    project = lab.create_project()
    with pytest.raises(ClientError, match="'kind', 'project', 'self'"):
        lab.create_vm(project, "fragile", "A", kind=1, project=2, self=3)


@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_without_a_url_it_is_the_server_of_the_default_settings(cls: type[Client] | type[AsyncClient]) -> None:
    client = cls()
    assert client.http.base_url == f"http://{Settings.host}:{Settings.port}"
    assert not client.http.trust_env
