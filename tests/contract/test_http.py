"""Section 1 of docs/api.md: paths, methods and connections, whatever is asked for."""

import json
import uuid

import pytest

from expect import nothing, refusal, shown
from routes import every_route
from support import Server
from wire import Wire


@pytest.fixture
def vm(server: Server, project: str) -> str:
    """A VM without a link."""
    return server.vm(project)


def test_replies_without_a_body_have_none(server: Server) -> None:
    """T-6."""
    project = server.project()
    vm = server.vm(project)
    nothing(server.http.post(f"{vm}/stop", json={}))
    nothing(server.http.delete(f"{vm}/adapters/0/ports/0/nio"))
    nothing(server.http.delete(vm))
    nothing(server.http.post(f"{project}/commit"))
    nothing(server.http.post(f"{project}/close"))
    nothing(server.http.delete(server.project()))


UNKNOWN_PATHS = [
    "//",
    "/v1",
    "/v1/",
    "/version",
    "/v2/version",
    "/v1/version/",
    "/v1//version",
    "//v1/version",
    "/V1/version",
    "/v1/nowhere",
    "/v1/version%2f",
    "/v1/version%00",
    "/v1/%ff%fe",
    "/v1/%",
    "/v1/projects/",
    "/v1/interfaces/lo",
    "/v1/ports/tcp",
    "/v1/ports",
    "/v1/" + "x" * 8000,
]


@pytest.mark.parametrize("path", UNKNOWN_PATHS, ids=lambda path: path[:20])
def test_an_unknown_path_gets_404_with_the_envelope(server: Server, path: str) -> None:
    """T-8: a trailing slash is an unknown path, and nothing is redirected."""
    with Wire(server.port) as wire:
        for method in ("GET", "POST", "DELETE", "PUT"):
            reply = wire.call(method, path, b"{}" if method in ("POST", "PUT") else b"")
            assert reply.status == 404, f"{method}: {reply}"
            assert json.loads(reply.body)["status"] == 404
            assert reply.headers["content-type"] == "application/json"
            assert "location" not in reply.headers


def test_a_trailing_slash_is_an_unknown_path_everywhere(server: Server, project: str, vm: str) -> None:
    """T-8."""
    for method, path in every_route(project, vm):
        refusal(server.http.request(method, path + "/"), 404)


def test_the_wrong_method_gets_405_with_the_right_ones(server: Server, project: str, vm: str) -> None:
    """T-8: at every path of section 0, with every method that it lacks, and even before the body is looked at."""
    offered: dict[str, set[str]] = {}
    for method, path in every_route(project, vm):
        offered.setdefault(path, set()).add(method)
    for path, methods in offered.items():
        for method in ({"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"}) - methods:
            reply = server.http.request(method, path, content=b"{")
            refusal(reply, 405)
            allowed = {word.strip() for word in reply.headers["allow"].split(",")}
            assert methods <= allowed <= methods | {"HEAD", "OPTIONS"}, f"{method} {path}: {allowed}"


def test_head_is_get_without_a_body(server: Server, project: str, vm: str, wire: Wire) -> None:
    """T-9: the connection would be out of step if a body came after all."""
    for path in ("/v1/version", "/v1/projects", "/v1/interfaces", project, vm, f"{project}/vpcs/vms"):
        wire.head("HEAD", path)
        assert wire.reply("HEAD").status in (200, 405), path
    wire.head("HEAD", f"/v1/projects/{uuid.uuid4()}")
    assert wire.reply("HEAD").status in (404, 405)
    wire.head("HEAD", "/v1/nowhere")
    assert wire.reply("HEAD").status == 404
    wire.head("HEAD", f"{vm}/start")
    assert wire.reply("HEAD").status == 405
    assert wire.call("GET", "/v1/version").status == 200


def test_options_says_what_is_allowed(server: Server, project: str, vm: str, wire: Wire) -> None:
    """T-9."""
    for method, path in every_route(project, vm):
        reply = wire.call("OPTIONS", path)
        assert reply.status in (200, 204, 405)
        assert method in reply.headers["allow"]
        if reply.status == 405:
            assert json.loads(reply.body)["status"] == 405
    assert wire.call("OPTIONS", "*").status < 500


def test_a_connection_is_usable_after_every_kind_of_error(server: Server, project: str, vm: str, wire: Wire) -> None:
    """T-10."""
    for method, path, body, status in (
        ("POST", "/v1/projects", b"{", 400),
        ("GET", "/v1/projects/1", b"", 400),
        ("POST", "/v1/server/shutdown", b"{}", 403),
        ("GET", "/v1/nowhere", b"", 404),
        ("POST", "/v1/nowhere", b"x" * 300_000, 404),
        ("GET", f"/v1/projects/{uuid.uuid4()}", b"", 404),
        ("PATCH", "/v1/version", b"y" * 300_000, 405),
        ("POST", f"{vm}/start", b"{}", 409),
        ("DELETE", "/v1/version", b"[1, 2", 405),
        ("GET", "/v1/version", b"{", 400),
    ):
        reply = wire.call(method, path, body)
        assert reply.status == status, f"{method} {path}"
        assert json.loads(reply.body)["status"] == status
        assert reply.headers.get("connection", "keep-alive").lower() == "keep-alive"
        assert wire.call("GET", "/v1/version").status == 200, f"after {method} {path}"


def test_a_body_on_get_and_delete_is_read(server: Server, wire: Wire) -> None:
    """T-4, T-10: it must not be taken for the next request."""
    vm = server.vm(server.project())
    smuggled = b"GET /v1/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert wire.call("GET", "/v1/version", b'{"a": 1}').status == 200
    assert wire.call("GET", vm, smuggled).status == 400
    assert wire.call("DELETE", vm, b'{"a": 1}').status == 204
    assert wire.call("GET", vm).status == 404


def test_query_strings_are_ignored(server: Server) -> None:
    """T-13."""
    assert shown(server.http.post("/v1/projects?name=query&temporary=true", json={}), 201)["name"] is None
    assert shown(server.http.get("/v1/version?version=2"))["version"] == "1.3.dev1"
    refusal(server.http.post("/v1/version?version=1.3.dev1", json={}), 400)
    refusal(server.http.get("/v1/nowhere?a=%ff"), 404)


def test_no_credentials_are_asked_for_and_none_are_in_the_way(server: Server) -> None:
    """T-14."""
    assert server.http.get("/v1/version", auth=("nobody", "nothing")).status_code == 200
    assert server.http.get("/v1/version", headers={"Authorization": "Bearer x"}).status_code == 200


def test_many_connections_are_served_at_once(server: Server) -> None:
    """T-10: each keeps its own."""
    wires = [Wire(server.port) for _ in range(50)]
    try:
        for wire in wires:
            wire.head("GET", "/v1/version")
        assert all(wire.reply().status == 200 for wire in wires)
    finally:
        for wire in wires:
            wire.socket.close()


def test_http_1_0_without_a_host_is_served(server: Server) -> None:
    """T-1."""
    with Wire(server.port) as wire:
        wire.send(b"GET /v1/version HTTP/1.0\r\n\r\n")
        assert wire.reply().status == 200
