"""B-17: what comes from web pages is kept out; WebSockets are refused."""

import json

import pytest

from archives import everything
from barrage import ENDLESS
from expect import shown
from machines import linked
from support import Server
from wire import Wire

STATE = ".labplane/state.db"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example:8000",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "file://",
        "http://[",
        "http://[::1",
        "\xff",
    ],
)
def test_a_request_of_another_origin_is_refused(server: Server, project: str, origin: str) -> None:
    """B-17: even GET, without a CORS header, and without a crash when the header is garbage."""
    before = len(shown(server.http.get("/v1/projects")))
    with Wire(server.port) as wire:
        for method, path in (("POST", "/v1/projects"), ("GET", project), ("DELETE", project), ("OPTIONS", project)):
            reply = wire.call(method, path, b"", f"Origin: {origin}")
            assert reply.status == 403, f"{method}: {reply}"
            assert json.loads(reply.body)["status"] == 403
            assert not [name for name in reply.headers if name.startswith("access-control")]
    assert len(shown(server.http.get("/v1/projects"))) == before


def test_the_servers_own_origin_is_no_other(server: Server) -> None:
    """B-17."""
    for name in ("127.0.0.1", "localhost"):
        with Wire(server.port) as wire:
            authority = f"{name}:{server.port}"
            reply = wire.call("POST", "/v1/projects", b"{}", f"Origin: http://{authority}", host=authority)
        assert reply.status == 201
        assert not [header for header in reply.headers if header.startswith("access-control")]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1", "[", "[::1", "]", "a@b", "\xff"]
)
def test_a_host_that_is_not_loopback_does_not_get_through(server: Server, host: str) -> None:
    """B-17: DNS rebinding; garbage is no crash either."""
    with Wire(server.port) as wire:
        assert wire.call("POST", "/v1/projects", b"{}", host=host).status in (400, 403)
        origin = f"Origin: http://{host}"
        assert wire.call("POST", "/v1/projects", b"{}", origin, host=host).status in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.1:1234", "[::1]", "[::1]:8000", "LOCALHOST:80"])
def test_a_loopback_host_gets_through(wire: Wire, host: str) -> None:
    """B-17."""
    assert wire.call("GET", "/v1/version", host=host).status == 200


def test_no_cors_header_is_sent(server: Server) -> None:
    """B-17."""
    for reply in (server.http.get("/v1/version"), server.http.post("/v1/projects"), server.http.options("/v1/version")):
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/v1/version", "/v1/projects", "/v1/nowhere", "/v1/version/"])
@pytest.mark.parametrize("origin", [[], ["Origin: http://evil.example"]])
def test_a_websocket_handshake_is_refused_without_a_crash(server: Server, path: str, origin: list[str]) -> None:
    """T-8: no WebSocket is there."""
    logged = len(server.log)
    handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    with Wire(server.port) as wire:
        wire.head("GET", path, *handshake, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *origin)
        assert 400 <= wire.reply().status < 500
    assert server.http.get("/v1/version").status_code == 200
    assert "Traceback" not in server.log[logged:]


def test_get_changes_nothing(server: Server, project: str) -> None:
    """B-17: a page can make a browser send it, images and links included, without being asked."""
    linked(server, project, startup_script="ip 10.0.0.1")
    ids = {
        **shown(server.http.get(f"{project}/vpcs/vms"))[0],
        "path": "project-files",
        "adapter": 0,
        "port": 0,
        "lab": "x",
        "link_id": "x",
        "kind": "vpcs",
        "node_id": "x",
    }
    paths = shown(server.http.get("/v1/openapi.json"))["paths"]

    def state() -> object:
        vms = shown(server.http.get(f"{project}/vpcs/vms"))
        # A checkpoint of the database comes when it comes.
        files = {name: text for name, text in everything(server.projects).items() if not name.startswith(STATE)}
        return vms, shown(server.http.get("/v1/projects")), files, server.children()

    before = state()
    for path in paths:
        if path.endswith(ENDLESS):
            continue
        for method in ("GET", "HEAD"):
            for query in ("", "?_method=DELETE&name=other"):
                reply = server.http.request(method, path.format(**ids) + query)
                assert reply.status_code < 500, reply.text
    assert state() == before
