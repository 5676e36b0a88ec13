"""What a plugin asks of the lab as a client would, and bodies that endpoints read themselves."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from inprocess import own, settings
from labplane import BadRequest, Conflict, LabError, NotFound, Request, Route
from labplane.api.table import RouteError
from labplane.errors import ClientGone
from labplane.kernel import Kernel
from one_vm import ABSENT, PROJECT, application, asked, nothing, table

VMS = "/v1/projects/{project_id}/vpcs/vms"


@pytest.fixture
def lab(tmp_path: Path) -> Kernel:
    return Kernel(settings(tmp_path), own())


def test_a_plugin_can_ask_what_a_client_can(lab: Kernel) -> None:
    async def main() -> None:
        project = await lab.ask("POST", "/v1/projects", {"name": "P"})
        project_id = project["project_id"]
        assert await lab.ask("GET", "/v1/projects/{project_id}", project_id=project_id.upper()) == project
        vm = await lab.ask("POST", VMS, {"name": "A"}, project_id=project_id)
        assert await lab.ask("GET", VMS + "/{vm_id}", project_id=project_id, vm_id=vm["vm_id"]) == vm
        nio = {"type": "nio_udp", "lport": lab.settings.udp_range[0], "rhost": "127.0.0.1", "rport": 9}
        where = "/{vm_id}/adapters/{adapter:int}/ports/{port:int}/nio"
        await lab.ask("POST", VMS + where, nio, project_id=project_id, vm_id=vm["vm_id"], adapter=0, port=0)
        assert await lab.ask("DELETE", VMS + "/{vm_id}", project_id=project_id, vm_id=vm["vm_id"]) is None
        assert await lab.ask("GET", VMS, project_id=project_id) == []
        await lab.end()

    asyncio.run(main())


def test_a_path_may_be_asked_as_the_document_shows_it(lab: Kernel) -> None:
    async def main() -> None:
        project_id = (await lab.ask("POST", "/v1/projects", {}))["project_id"]
        vm = await lab.ask("POST", VMS, {"name": "A"}, project_id=project_id)
        path = VMS + "/{vm_id}/adapters/{adapter}/ports/{port}/nio"
        assert path in lab.document()["paths"]
        ids = {"project_id": project_id, "vm_id": vm["vm_id"], "adapter": 0, "port": 0}
        assert await lab.ask("DELETE", path, **ids) is None
        with pytest.raises(Conflict, match="has no adapter 1"):
            await lab.ask("DELETE", path, **{**ids, "adapter": 1})
        with pytest.raises(NotFound, match="The nearest one is /v1/version"):
            await lab.ask("GET", "/v1/versions")
        await lab.end()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "method", "path", "body", "parameters"),
    [
        (NotFound, "GET", "/v1/nothing", None, {}),
        (LabError, "DELETE", "/v1/version", None, {}),
        (BadRequest, "POST", "/v1/projects", {"colour": "red"}, {}),
        (BadRequest, "GET", VMS, None, {"project_id": "x"}),
        (NotFound, "GET", VMS, None, {"project_id": ABSENT}),
        (Conflict, "POST", "/v1/version", {"version": "0"}, {}),
    ],
)
def test_a_plugin_is_refused_what_a_client_is(
    lab: Kernel, error: type[LabError], method: str, path: str, body: Any, parameters: Any
) -> None:
    with pytest.raises(error):
        asyncio.run(lab.ask(method, path, body, **parameters))


def test_json_from_elsewhere_is_taken_like_a_body(lab: Kernel) -> None:
    """T-11."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert lab.parse(b'{"n": 1}', schema) == {"n": 1}
    assert lab.parse(b'{"version": "1"}', {"$ref": "labplane:Version"}) == {"version": "1"}
    for data in (b"", b"{", b"\xff", b'{"n": NaN}', b"{}", b'{"n": 1.0}'):
        with pytest.raises(BadRequest):
            lab.parse(data, schema)


def test_an_endpoint_that_streams_reads_a_body_of_any_form_and_length() -> None:
    async def count(request: Request) -> Any:
        assert request.body == {}
        return [piece.decode() async for piece in request.stream()]

    app = application(Route("POST", "/p/{project_id}", count, streams=True))
    for body, length in ((b"{not JSON" * 1000, True), (b"{not JSON" * 1000, False), (b"", True)):
        status, _, reply = asked(app, "POST", f"/p/{PROJECT}", body, length=length)
        assert (status, "".join(json.loads(reply))) == (200, body.decode())
    assert asked(app, "POST", f"/p/{ABSENT}", b"unread")[0] == 404


def test_an_endpoint_that_streams_ends_with_its_request() -> None:
    """L-4 is for what has begun; a body that never comes is nothing to be waited for."""
    ended: list[BaseException] = []

    async def read(request: Request) -> None:
        try:
            async for _ in request.stream():
                pass
        except BaseException as error:
            ended.append(error)
            raise

    async def main() -> None:
        app = application(Route("POST", "/a", read, streams=True))
        never = asyncio.Event()

        async def stalled() -> Any:
            await never.wait()

        async def gone() -> Any:
            return {"type": "http.disconnect"}

        scope = {"type": "http", "method": "POST", "path": "/a", "root_path": "", "query_string": b"", "headers": []}
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        task = asyncio.ensure_future(app(scope, stalled, send))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await app(dict(scope), gone, send)
        assert sent == []

    asyncio.run(main())
    assert [type(error) for error in ended] == [asyncio.CancelledError, ClientGone]


@pytest.mark.parametrize(
    "route",
    [
        Route("POST", "/v/{vm_id}", nothing, streams=True),
        Route("POST", "/a", nothing, {"type": "object"}, streams=True),
    ],
)
def test_a_route_that_streams_has_no_schema_and_holds_no_lock(route: Route) -> None:
    """L-5."""
    with pytest.raises(RouteError, match="a route that streams"):
        table(route)
