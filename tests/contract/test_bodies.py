"""Section 1 of docs/api.md: what a request body may be, byte for byte, on any route."""

import json

import pytest

from expect import refusal, shown
from routes import every_route
from support import Server
from wire import Wire

LONE_SURROGATE = rb'{"name": "\ud800"}'

NOT_STRICT_JSON = {
    "no JSON": b"name=x",
    "half an object": b'{"name": ',
    "white space": b" \r\n",
    "two values": b"{} {}",
    "single quotes": b"{'name': 'x'}",
    "a trailing comma": b'{"name": "x",}',
    "a comment": b'{"name": "x"} // x',
    "an unquoted key": b'{name: "x"}',
    "a raw line break in a string": b'{"name": "a\nb"}',
    "NUL": b"\0",
    "a NUL after it": b"{}\0",
    "a leading zero": b'{"name": 01}',
    "hexadecimal": b'{"name": 0x10}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": Infinity}',
    "-Infinity": b'{"name": -Infinity}',
    "bare NaN": b"NaN",
    "1e999": b'{"name": 1e999}',
    "-1e999": b'{"name": -1e999}',
    "a lone high surrogate": LONE_SURROGATE,
    "a lone low surrogate": rb'{"name": "\uDFFF"}',
    "surrogates the wrong way round": rb'{"name": "\udc00\ud800"}',
    "a lone surrogate as key": rb'{"\ud800": 1}',
    "a lone surrogate deep inside": rb'{"a": [{"b": ["\ud83d"]}]}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "Latin-1": '{"name": "Zürich"}'.encode("latin-1"),
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "an overlong slash": b'{"name": "\xc0\xaf"}',
    "1000 arrays": b"[" * 1000 + b"]" * 1000,
    "1000 objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "100000 arrays, unclosed": b"[" * 100_000,
    "100000 arrays": b"[" * 100_000 + b"]" * 100_000,
}


@pytest.fixture
def vm(server: Server, project: str) -> str:
    """A VM without a link."""
    return server.vm(project)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "text/plain",
        "multipart/form-data",
        "application/octet-stream",
        ";;; =",
        None,
    ],
)
def test_the_content_type_of_a_request_does_not_matter(server: Server, content_type: str | None) -> None:
    """T-2."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    reply = server.http.post("/v1/projects", content='{"name": "Zürich"}'.encode(), headers=headers)
    assert shown(reply, 201)["name"] == "Zürich"


def test_no_body_and_an_empty_one_mean_an_empty_object(wire: Wire) -> None:
    """T-3."""
    wire.head("POST", "/v1/projects")
    assert wire.reply().status == 201
    wire.head("POST", "/v1/projects", "Content-Length: 0")
    assert wire.reply().status == 201
    wire.head("POST", "/v1/projects", "Transfer-Encoding: chunked")
    wire.chunk(b"")
    assert wire.reply().status == 201
    wire.head("POST", "/v1/version", "Transfer-Encoding: chunked")
    wire.chunk(b"")
    assert wire.reply().status == 400


def test_a_chunked_body_is_parsed_like_any_other(wire: Wire) -> None:
    """T-3, B-20; one byte a chunk, so that characters are cut in half."""
    wire.head("POST", "/v1/projects", "Transfer-Encoding: chunked")
    for byte in '{"name": "é😀"}'.encode():
        wire.chunk(bytes([byte]))
    wire.chunk(b"")
    reply = wire.reply()
    assert reply.status == 201
    assert json.loads(reply.body)["name"] == "é😀"
    wire.head("POST", "/v1/projects", "Transfer-Encoding: chunked")
    wire.chunk(b"{no")
    wire.chunk(b"")
    assert wire.reply().status == 400


def test_a_body_that_is_no_json_is_refused_on_every_route(server: Server, project: str, vm: str) -> None:
    """T-4: GET and DELETE included; nothing happens."""
    before = (shown(server.http.get(project)), shown(server.http.get(vm)), len(shown(server.http.get("/v1/projects"))))
    for method, path in every_route(project, vm):
        for body in (b"{", b"\xff\xfe", LONE_SURROGATE):
            reply = server.http.request(method, path, content=body)
            assert reply.status_code == 400, f"{method} {path}: {reply.status_code}"
            refusal(reply, 400)
    after = (shown(server.http.get(project)), shown(server.http.get(vm)), len(shown(server.http.get("/v1/projects"))))
    assert before == after


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"17", b"null", b"true", b"[{}]"])
def test_routes_with_a_schema_want_an_object(server: Server, project: str, vm: str, body: bytes) -> None:
    """T-4."""
    for method, path in (
        ("POST", "/v1/version"),
        ("POST", "/v1/projects"),
        ("PUT", project),
        ("POST", f"{project}/vpcs/vms"),
        ("PUT", vm),
        ("POST", f"{vm}/adapters/0/ports/0/nio"),
    ):
        refusal(server.http.request(method, path, content=body), 400)


@pytest.mark.parametrize(
    "body", [b"[]", b'"text"', b"17", b"null", b'{"unknown": {"a": [1.5]}}', b"[" * 200 + b"]" * 200]
)
def test_routes_without_a_schema_ignore_what_the_body_says(server: Server, body: bytes) -> None:
    """T-4."""
    project = server.project()
    vm = server.vm(project)
    expected = {
        ("GET", "/v1/version"): 200,
        ("GET", "/v1/projects"): 200,
        ("GET", "/v1/interfaces"): 200,
        ("GET", "/v1/status"): 200,
        ("GET", "/"): 200,
        ("GET", project): 200,
        ("GET", vm): 200,
        ("GET", f"{project}/vpcs/vms"): 200,
        ("POST", f"{project}/ports/udp"): 201,
        ("POST", f"{project}/commit"): 204,
        ("POST", f"{vm}/start"): 409,
        ("POST", f"{vm}/reload"): 409,
        ("POST", f"{vm}/stop"): 204,
        ("DELETE", f"{vm}/adapters/0/ports/0/nio"): 204,
        ("DELETE", vm): 204,
        ("POST", "/v1/server/shutdown"): 403,
        ("POST", "/v1/config/reload"): 403,
        ("POST", f"{project}/close"): 204,
    }
    for (method, path), status in expected.items():
        reply = server.http.request(method, path, content=body)
        assert reply.status_code == status, f"{method} {path}: {reply.text}"


@pytest.mark.parametrize("body", NOT_STRICT_JSON.values(), ids=NOT_STRICT_JSON.keys())
def test_json_is_taken_strictly(server: Server, body: bytes) -> None:
    """T-11, on a route that would not look at the content and on one that does."""
    refusal(server.http.post("/v1/ports/udp", content=body), 400)
    refusal(server.http.post("/v1/projects", content=body), 400)


def test_a_number_of_thousands_of_digits_is_no_crash(server: Server, vm: str) -> None:
    """T-11, M-1: Python refuses to read such a number."""
    for digits in (20, 4000, 5000, 100_000):
        refusal(server.http.put(vm, content=b'{"console": ' + b"9" * digits + b"}"), 400)
        refusal(server.http.put(vm, content=b'{"console": -' + b"9" * digits + b"}"), 400)
        refusal(server.http.put(vm, content=b'{"console": 1.' + b"9" * digits + b"}"), 400)


@pytest.mark.parametrize("value", ["true", "false", "2000.0", '"2000"', "[2000]", "{}"])
def test_what_looks_like_an_integer_is_none(server: Server, project: str, vm: str, value: str) -> None:
    """T-11: neither a boolean nor 2000.0."""
    refusal(server.http.put(vm, content=f'{{"console": {value}}}'), 400)
    refusal(server.http.post(f"{project}/vpcs/vms", content=f'{{"name": "x", "console": {value}}}'), 400)
    nio = f'{{"type": "nio_udp", "lport": {value}, "rport": 10000, "rhost": "127.0.0.1"}}'
    refusal(server.http.post(f"{vm}/adapters/0/ports/0/nio", content=nio), 400)


def test_of_repeated_members_the_last_one_wins(server: Server) -> None:
    """T-11."""
    reply = server.http.post("/v1/projects", content=b'{"name": "first", "name": 3, "name": "last"}')
    assert shown(reply, 201)["name"] == "last"


@pytest.mark.parametrize("literal", [rb"\ud83d\ude00", rb"\\ud800", rb"\\\\ud800", rb"\uD83D\uDE00\\ud800"])
def test_pairs_of_surrogates_and_what_only_looks_like_one_are_fine(server: Server, literal: bytes) -> None:
    """T-11."""
    text = b'{"name": "%s"}' % literal
    assert shown(server.http.post("/v1/projects", content=text), 201)["name"] == json.loads(text)["name"]


def test_brackets_in_strings_are_no_nesting(server: Server) -> None:
    """T-11."""
    text = '["\\{' * 3000
    vms = f"{server.project()}/vpcs/vms"
    made = server.http.post(vms, json={"name": "PC", "startup_script": text})
    assert shown(made, 201)["startup_script"] == text
