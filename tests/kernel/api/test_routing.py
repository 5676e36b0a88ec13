"""Routes: what a request goes through, in which order it is looked at, and what a plugin's endpoint may answer."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st
from starlette.responses import PlainTextResponse

from labplane import Conflict, Request, Route
from labplane.api.table import RouteError
from labplane.validation.schemas import Schemas
from one_vm import ABSENT, PROJECT, Directory, application, ask, asked, nothing, table, turns_until


def test_what_an_endpoint_returns_becomes_the_reply() -> None:
    async def thing(_: Request) -> Any:
        return {"b": [1], "a": None}

    async def own(_: Request) -> Any:
        return PlainTextResponse("mine", 202)

    app = application(
        Route("POST", "/thing", thing, status=201),
        Route("GET", "/own", own),
        Route("DELETE", "/thing", nothing, status=204),
    )
    status, headers, body = asked(app, "POST", "/thing")
    assert (status, headers["content-type"], json.loads(body)) == (201, "application/json", {"a": None, "b": [1]})
    assert asked(app, "GET", "/own")[::2] == (202, b"mine")
    assert asked(app, "DELETE", "/thing")[::2] == (204, b"")


def test_a_request_brings_its_body_and_the_parameters_of_its_path() -> None:
    got: list[Request] = []

    async def keep(request: Request) -> None:
        got.append(request)

    path = "/p/{project_id}/n/{number:int}/{name}"
    app = application(Route("POST", path, keep), Route("GET", "/plain", keep))
    asked(app, "POST", f"/p/{PROJECT.upper()}/n/007/x", b'{"a": 1}')
    assert (got[0].body, got[0].vm, got[0].project_id) == ({"a": 1}, None, PROJECT)
    assert got[0].path == {"project_id": PROJECT, "number": 7, "name": "x"}
    assert got[0].scope["method"] == "POST"
    for body, length in ((b"", True), (b"", False)):
        asked(app, "GET", "/plain", body, length=length)
        assert got[-1].body == {}
    asked(app, "GET", "/plain", b"[1]", length=False)
    assert got[-1].body == [1]


def test_a_method_that_is_not_offered_is_a_405_that_names_those_that_are() -> None:
    """T-8, T-9."""
    app = application(Route("GET", "/a", nothing), Route("PUT", "/a", nothing), Route("POST", "/b", nothing))
    status, headers, body = asked(app, "DELETE", "/a", b"not even JSON")
    assert (status, headers["allow"]) == (405, "GET, HEAD, PUT")
    assert json.loads(body)["message"] == "DELETE is not offered at /a; it has GET, HEAD, PUT."
    assert asked(app, "GET", "/b")[1]["allow"] == "POST"
    assert asked(app, "HEAD", "/a")[0] == 200
    assert asked(app, "HEAD", "/b")[0] == 405


@pytest.mark.parametrize("number", ["9" * 5000, "-1", "x", "1.0", "٣"])
def test_what_is_no_number_where_one_belongs_is_an_unknown_path(number: str) -> None:
    app = application(Route("GET", "/n/{number:int}", nothing))
    assert asked(app, "GET", f"/n/{number}")[0] == 404


def test_a_request_is_looked_at_in_the_order_of_the_contract() -> None:
    """E-3: route, method, body, form of the project id, project, form of the VM id, VM."""
    app = application(
        Route("POST", "/p/{project_id}/v/{vm_id}", nothing, {"type": "object", "required": ["a"]}, status=204)
    )
    fine = b'{"a": 1}'
    for method, project, vm, body, status in (
        ("GET", "x", "y", b"{", 405),
        ("POST", "x", "y", b"{", 400),
        ("POST", "x", "y", b"{}", 400),
        ("POST", "x", "y", b"", 400),
        ("POST", "x", PROJECT, fine, 400),
        ("POST", ABSENT, "y", fine, 404),
        ("POST", PROJECT, "y", fine, 400),
        ("POST", PROJECT, ABSENT, fine, 404),
        ("POST", PROJECT, PROJECT, fine, 204),
    ):
        assert asked(app, method, f"/p/{project}/v/{vm}", body)[0] == status, (method, project, vm, body)


def test_a_crash_is_told_without_its_cause_and_logged_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """B-16."""

    async def crash(_: Request) -> None:
        raise ValueError("a secret")

    async def no_json(_: Request) -> Any:
        return {"a": float("nan")}

    app = application(Route("GET", "/a", crash), Route("POST", "/a", crash), Route("PUT", "/a", no_json))
    for method in ("GET", "POST", "PUT"):
        status, _, body = asked(app, method, "/a")
        assert (status, json.loads(body)["status"], b"secret" in body) == (500, 500, False)
    assert caplog.text.count("a secret") >= 2
    assert "POST /a crashed" in caplog.text


def test_a_lab_error_is_told_as_it_is() -> None:
    async def refuse(_: Request) -> None:
        raise Conflict("Because.")

    status, _, body = asked(application(Route("POST", "/a", refuse)), "POST", "/a")
    assert (status, json.loads(body)) == (409, {"status": 409, "message": "Because."})


@pytest.mark.parametrize("endpoint", ["crashed", "refused", "done"])
def test_a_cancelled_request_lets_its_operation_end_and_then_the_lock_go(endpoint: str) -> None:
    """L-4."""
    lab = Directory()

    async def main() -> None:
        go_on, ended = asyncio.Event(), asyncio.Event()

        async def operation(_: Request) -> None:
            await go_on.wait()
            ended.set()
            if endpoint != "done":
                raise (ValueError if endpoint == "crashed" else Conflict)("x")

        app = application(Route("POST", "/v/{vm_id}", operation, status=204), lab=lab)
        first = asyncio.ensure_future(ask(app, "POST", f"/v/{PROJECT}"))
        queued = asyncio.ensure_future(ask(app, "POST", f"/v/{PROJECT}"))
        await turns_until(lambda: lab.vm.lock._waiters)
        first.cancel()
        queued.cancel()
        assert await asyncio.gather(first, queued, return_exceptions=True)
        assert lab.vm.lock.locked()
        go_on.set()
        await asyncio.gather(*lab.tasks, return_exceptions=True)
        assert ended.is_set()
        assert not lab.vm.lock.locked()

    asyncio.run(main())


step = st.tuples(st.sampled_from(["done", "refused", "crashed", "cancelled"]), st.integers(0, 3))


@given(st.lists(step, min_size=1, max_size=12))
def test_whatever_becomes_of_requests_they_are_served_one_by_one_in_order(steps: list[tuple[str, int]]) -> None:
    """L-1, L-4: with any mixture of errors and cancellations, after any number of turns of the loop."""
    lab = Directory()

    async def main() -> None:
        served: list[int] = []
        inside: list[int] = []

        async def operation(request: Request) -> None:
            number = request.body["number"]
            assert not inside
            inside.append(number)
            for _ in range(steps[number][1]):
                await asyncio.sleep(0)
            inside.pop()
            served.append(number)
            if steps[number][0] == "crashed":
                raise ZeroDivisionError
            if steps[number][0] == "refused":
                raise Conflict("no")

        app = application(Route("POST", "/v/{vm_id}", operation, status=204), lab=lab)
        requests = []
        for number, (how, turns) in enumerate(steps):
            body = json.dumps({"number": number}).encode()
            requests.append(asyncio.ensure_future(ask(app, "POST", f"/v/{PROJECT}", body)))
            await turns_until(lambda: len(lab.tasks) > number)  # noqa: B023 - called at once
            for _ in range(turns):
                await asyncio.sleep(0)
            if how == "cancelled":
                requests[-1].cancel()
        replies = await asyncio.gather(*requests, return_exceptions=True)
        await asyncio.gather(*lab.tasks, return_exceptions=True)
        assert served == list(range(len(steps)))
        assert not lab.vm.lock.locked()
        wanted = {"done": 204, "refused": 409, "crashed": 500}
        for (how, _), reply in zip(steps, replies, strict=True):
            if how != "cancelled":
                assert not isinstance(reply, BaseException)
                assert reply[0] == wanted[how]

    asyncio.run(main())


def test_a_vm_that_is_gone_after_the_wait_is_a_404() -> None:
    """L-6."""
    lab = Directory()

    async def main() -> None:
        app = application(Route("GET", "/v/{vm_id}", nothing), lab=lab)
        await lab.vm.lock.acquire()
        waiting = asyncio.ensure_future(ask(app, "GET", f"/v/{PROJECT}"))
        await turns_until(lambda: lab.tasks)
        lab.vm.gone = True
        lab.vm.lock.release()
        assert (await waiting)[0] == 404

    asyncio.run(main())


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route("get", "/a", nothing), "the method 'get' is none of"),
        (Route("GET", "/a/", nothing), "the path '/a/' must begin with / and not end with it"),
        (Route("GET", "", nothing), "the path '' must begin with /"),
        (Route("GET", "/{a:roman}", nothing), "cannot be used: Unknown path convertor 'roman'"),
        (Route("GET", "/a", "nothing"), "its endpoint must be a function"),  # type: ignore[arg-type]
        ("GET /a", "labplane.Route objects, not str"),
    ],
)
def test_a_route_that_cannot_work_is_refused(route: Any, words: str) -> None:
    with pytest.raises(RouteError, match=words):
        table(route)


def test_the_root_is_a_path() -> None:
    assert asked(application(Route("GET", "/", nothing, status=204)), "GET", "/")[0] == 204
    assert [route.path for route in table(Route("GET", "/", nothing)).routes] == ["/"]


def test_words_of_a_path_come_before_parameters_wherever_they_were_registered() -> None:
    def route(path: str, word: str) -> Route:
        return Route("GET", path, lambda _: word)

    app = application(
        route("/things/{path:path}", "rest"),
        route("/things/{id}", "one"),
        route("/things/special", "special"),
        route("/things/{id}/parts", "parts"),
    )
    for path, word in (
        ("/things/special", "special"),
        ("/things/other", "one"),
        ("/things/a/parts", "parts"),
        ("/things/a/b", "rest"),
    ):
        assert json.loads(asked(app, "GET", path)[2]) == word


def test_an_unknown_path_is_told_the_nearest_one() -> None:
    known = table(
        Route("GET", "/v1/version", nothing),
        Route("GET", "/v1/projects/{project_id}/files", nothing),
        Route("GET", "/v1/hidden", nothing, offered=False),
    )
    assert known.nearest("/v1/versions") == " The nearest one is /v1/version."
    assert known.nearest(f"/v1/project/{PROJECT}/files") == " The nearest one is /v1/projects/{project_id}/files."
    for path in ("/v1/hiddem", "/v1", "/", "/v1/x/y/z", "/v1/" + "x" * 200):
        assert known.nearest(path) == ""


@pytest.mark.parametrize("first", [True, False])
def test_a_route_that_yields_makes_way_for_another_whichever_comes_first(first: bool) -> None:
    def stand_in(_: Request) -> str:
        return "stand-in"

    def real(_: Request) -> str:
        return "real"

    routes = [Route("GET", "/", stand_in, yields=True), Route("GET", "/", real)]
    assert asked(application(*(routes if first else reversed(routes))), "GET", "/")[2] == b'"real"'
    assert asked(application(routes[0]), "GET", "/")[2] == b'"stand-in"'
    added = table(routes[0] if first else routes[1])
    added.add(added.compile([routes[1] if first else routes[0]], Schemas()))
    assert [route.yields for route in added.routes] == [False]
    with pytest.raises(RouteError, match="is taken by"):
        added.compile([routes[1]], Schemas())


def test_a_route_of_one_kind_finds_no_vm_of_another() -> None:
    app = application(
        Route("GET", "/box/{vm_id}", nothing, kind="box"),
        Route("GET", "/router/{vm_id}", nothing, kind="router"),
        Route("GET", "/any/{vm_id}", nothing),
    )
    for path, status in (("box", 200), ("router", 404), ("any", 200)):
        found, _, body = asked(app, "GET", f"/{path}/{PROJECT}")
        assert found == status
        assert status == 200 or "it is of kind box" in json.loads(body)["message"]
