"""Section 1 of docs/api.md: bytes in, bytes out, on any route."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from expect import nothing, refusal, shown
from support import Server, running
from wire import Wire

MIB = 1024 * 1024

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


@pytest.fixture(scope="module")
def project(server: Server) -> str:
    return server.project()


@pytest.fixture(scope="module")
def vm(server: Server, project: str) -> str:
    return server.vm(project)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with Wire(server.port) as wire:
        yield wire


def every_route(project: str, vm: str) -> list[tuple[str, str]]:
    """All routes of section 0, those that end things last."""
    nio = f"{vm}/adapters/0/ports/0/nio"
    return [
        ("GET", "/v1/version"),
        ("POST", "/v1/version"),
        ("POST", "/v1/projects"),
        ("GET", "/v1/projects"),
        ("GET", project),
        ("PUT", project),
        ("POST", f"{project}/commit"),
        ("POST", "/v1/ports/udp"),
        ("POST", f"{project}/ports/udp"),
        ("GET", "/v1/interfaces"),
        ("POST", f"{project}/vpcs/vms"),
        ("GET", f"{project}/vpcs/vms"),
        ("GET", vm),
        ("PUT", vm),
        ("POST", nio),
        ("DELETE", nio),
        ("POST", f"{vm}/start"),
        ("POST", f"{vm}/stop"),
        ("POST", f"{vm}/reload"),
        ("DELETE", vm),
        ("POST", f"{project}/close"),
        ("DELETE", project),
        ("POST", "/v1/config/reload"),
        ("POST", "/v1/server/shutdown"),
    ]


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
    name = '["\\{' * 3000
    assert shown(server.http.post("/v1/projects", json={"name": name}), 201)["name"] == name


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
    "/",
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


# Sizes (T-12)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes bodies of 1 MiB and no more."""
    directory = tmp_path_factory.mktemp("small")
    (directory / "labplane.toml").write_text(f"max_body = {MIB}\n")
    with running(directory / "projects", "--config", str(directory / "labplane.toml")) as server:
        yield server


def test_a_body_of_one_mebibyte_works(server: Server, project: str) -> None:
    """T-12."""
    frame = json.dumps({"name": "big", "startup_script": ""})
    script = "#" * (MIB - len(frame))
    body = json.dumps({"name": "big", "startup_script": script})
    assert len(body) == MIB
    reply = shown(server.http.post(f"{project}/vpcs/vms", content=body), 201)
    assert reply["startup_script"] == script


def test_the_default_limit_is_sixteen_mebibytes(server: Server) -> None:
    """T-12."""
    body = b'"' + b"x" * (16 * MIB - 2) + b'"'
    assert server.http.post("/v1/ports/udp", content=body).status_code == 201
    refusal(server.http.post("/v1/ports/udp", content=body + b" "), 413)


@pytest.mark.parametrize("length", [16 * MIB + 1, 33 * MIB, 2**63, 10**30])
def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(wire: Wire, length: int) -> None:
    """T-12."""
    wire.head("POST", "/v1/ports/udp", f"Content-Length: {length}")
    reply = wire.reply()
    assert reply.status in ((413,) if length < 2**60 else (400, 413))
    if reply.status == 413:
        assert json.loads(reply.body)["status"] == 413


def test_the_limit_holds_for_chunked_bodies(wire: Wire) -> None:
    """T-12, T-10: the refusal comes while the client still sends, and the connection is usable when it has sent all."""
    wire.head("POST", "/v1/ports/udp", "Transfer-Encoding: chunked")
    for _ in range(17):
        wire.chunk(b" " * MIB)
    reply = wire.reply()
    assert reply.status == 413
    assert json.loads(reply.body)["status"] == 413
    wire.chunk(b" " * MIB)
    wire.chunk(b"")
    assert wire.call("GET", "/v1/version").status == 200


def test_an_endless_upload_does_not_fill_the_memory(small: Server) -> None:
    """T-12: what comes after the refusal is thrown away, or the connection is closed."""
    peak = Path(f"/proc/{small.process.pid}/status")

    def high_water() -> int:
        return int(next(line for line in peak.read_text().splitlines() if line.startswith("VmHWM")).split()[1])

    before = high_water()
    with Wire(small.port) as wire:
        wire.head("POST", "/v1/ports/udp", "Transfer-Encoding: chunked")
        try:
            for _ in range(200):
                wire.chunk(b" " * MIB)
        except (BrokenPipeError, ConnectionResetError):
            pass
        else:
            assert wire.reply().status == 413
    assert high_water() - before < 32 * 1024
    assert small.http.get("/v1/version").status_code == 200


def test_the_limit_can_be_configured(small: Server) -> None:
    """T-12."""
    body = b'"' + b"x" * (MIB - 2) + b'"'
    assert small.http.post("/v1/ports/udp", content=body).status_code == 201
    refusal(small.http.post("/v1/ports/udp", content=body + b" "), 413)
    refusal(small.http.post("/v1/nowhere", content=body + b" "), 404)


def test_no_limit_above_32_mebibytes_can_be_configured(tmp_path: Path) -> None:
    """T-12."""
    (tmp_path / "labplane.toml").write_text(f"max_body = {32 * MIB + 1}\n")
    with (
        pytest.raises(AssertionError, match="max_body"),
        running(tmp_path / "projects", "--config", str(tmp_path / "labplane.toml")),
    ):
        pass


# Errors (section 2)


def test_the_body_of_a_bad_request_is_not_echoed(server: Server, project: str) -> None:
    """E-1, O-9."""
    secret = "s3cret" * 50
    for body in ({"name": secret, "wrong": secret}, {"startup_script": secret}, {"name": "x", "console": secret}):
        reply = server.http.post(f"{project}/vpcs/vms", json=body)
        refusal(reply, 400)
        assert secret not in reply.text


def test_a_disk_failure_is_a_500_that_tells_no_details(server: Server, project: str) -> None:
    """E-2, B-16; and the VM's lock is free again (L-4)."""
    vm = server.vm(project, startup_script="show")
    script = Path(shown(server.http.get(vm))["vm_directory"]) / "startup.vpc"
    script.unlink()
    script.mkdir()
    for _ in range(2):
        message = refusal(server.http.get(vm), 500)
        assert "Error" not in message
        assert "startup.vpc" not in message
        assert ".py" not in message
    assert "IsADirectoryError" in server.log
    script.rmdir()
    assert shown(server.http.get(vm))["startup_script"] is None


MALFORMED_IDS = [
    "1",
    "42f9feee321741049 81e85d5f0a806ec",
    "42f9feee32174104981e85d5f0a806ec",
    "%7B42f9feee-3217-4104-981e-85d5f0a806ec%7D",
    "urn:uuid:42f9feee-3217-4104-981e-85d5f0a806ec",
    "42f9feee-3217-4104-981e-85d5f0a806e",
    "42f9feee-3217-4104-981e-85d5f0a806ecc",
    "42f9feee-3217-4104-981e-85d5f0a806eg",
    "42f9feee-3217-4104-981e85d5f0a806ec-",
    "42f9feee3217-4104-981e-85d5-f0a806ec",
    "42f9feee-3217-4104-981e-85d5f0a806ec%0A",
    "%2042f9feee-3217-4104-981e-85d5f0a806ec",
    "42f9feee-3217-4104-981e-85d5f0a806%D9%A3%D9%A3",
    "42f9feee_3217_4104_981e_85d5f0a806ec",
    "..",
    "%00",
    "%ff",
]


@pytest.mark.parametrize("malformed", MALFORMED_IDS)
def test_an_id_that_is_no_uuid_gets_400(server: Server, project: str, malformed: str) -> None:
    """E-4: in the place of a project and of a VM."""
    malformed = malformed.replace(" ", "%20")
    with Wire(server.port) as wire:
        for method, path in (
            ("GET", f"/v1/projects/{malformed}"),
            ("PUT", f"/v1/projects/{malformed}"),
            ("DELETE", f"/v1/projects/{malformed}"),
            ("POST", f"/v1/projects/{malformed}/close"),
            ("POST", f"/v1/projects/{malformed}/ports/udp"),
            ("GET", f"/v1/projects/{malformed}/vpcs/vms"),
            ("GET", f"{project}/vpcs/vms/{malformed}"),
            ("PUT", f"{project}/vpcs/vms/{malformed}"),
            ("DELETE", f"{project}/vpcs/vms/{malformed}"),
            ("POST", f"{project}/vpcs/vms/{malformed}/start"),
            ("DELETE", f"{project}/vpcs/vms/{malformed}/adapters/0/ports/0/nio"),
        ):
            reply = wire.call(method, path)
            assert reply.status == 400, f"{method} {path}: {reply}"
            assert json.loads(reply.body)["status"] == 400


@pytest.mark.parametrize(
    "malformed", ["1", "", "{42f9feee-3217-4104-981e-85d5f0a806e}", "42f9feee-3217-4104-981e-85d5f0a806e\n"]
)
def test_an_id_in_a_body_has_the_same_form(server: Server, project: str, malformed: str) -> None:
    """E-4, P-1, M-1: the bounds of the schema are 36 characters of a UUID."""
    refusal(server.http.post("/v1/projects", json={"project_id": malformed}), 400)
    refusal(server.http.post(f"{project}/vpcs/vms", json={"name": "x", "vm_id": malformed}), 400)


@pytest.mark.parametrize(
    "valid",
    [
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
)
def test_the_version_nibble_of_an_id_is_not_looked_at(server: Server, valid: str) -> None:
    """E-4."""
    project = server.project(project_id=valid)
    assert project == f"/v1/projects/{valid}"
    vm = server.vm(project, vm_id=valid)
    assert shown(server.http.get(vm))["vm_id"] == valid
    nothing(server.http.delete(project))


def test_ids_are_compared_without_case_and_shown_in_lower_case(server: Server) -> None:
    """B-27."""
    lower = str(uuid.uuid4()).replace("0", "a")
    project = server.project(project_id=lower.upper())
    assert project == f"/v1/projects/{lower}"
    assert server.project(project_id=lower) == project
    vm = server.vm(project, vm_id=lower.upper())
    assert vm == f"{project}/vpcs/vms/{lower}"
    assert server.vm(project, vm_id=lower) == vm
    shouted = f"/v1/projects/{lower.upper()}/vpcs/vms/{lower.upper()}"
    assert shown(server.http.get(shouted)) == shown(server.http.get(vm))
    assert len(shown(server.http.get(f"{project}/vpcs/vms"))) == 1
    nothing(server.http.delete(shouted))
    refusal(server.http.get(vm), 404)


def test_checks_come_in_the_documented_order(server: Server, project: str, vm: str) -> None:
    """E-3: each request has everything wrong from one step on, and the first step decides."""
    unknown, malformed = str(uuid.uuid4()), "not-a-uuid"
    other = server.project()
    bad = b"{"

    def status(method: str, path: str, content: bytes = b"{}") -> int:
        reply = server.http.request(method, path, content=content)
        refusal(reply, reply.status_code)
        return reply.status_code

    assert status("PATCH", f"/v1/nowhere/{malformed}", bad) == 404
    assert status("PATCH", f"/v1/projects/{malformed}", bad) == 405
    assert status("POST", f"/v1/projects/{unknown}/vpcs/vms", bad) == 400
    assert status("POST", f"/v1/projects/{unknown}/vpcs/vms", b'{"name": 1}') == 400
    assert status("PUT", f"/v1/projects/{unknown}/vpcs/vms/{unknown}", b'{"name": 1}') == 400
    assert status("GET", f"/v1/projects/{malformed}/vpcs/vms/{malformed}") == 400
    assert status("GET", f"/v1/projects/{unknown}/vpcs/vms/{malformed}") == 404
    assert status("GET", f"{project}/vpcs/vms/{malformed}") == 400
    assert status("GET", f"{project}/vpcs/vms/{unknown}") == 404
    elsewhere = vm.replace(project, other)
    nio = b'{"type": "nio_vde"}'
    assert status("GET", elsewhere) == 404
    assert status("POST", f"{elsewhere}/adapters/1/ports/1/nio", nio) == 404
    assert status("POST", f"{vm}/adapters/1/ports/1/nio", nio) == 409
    assert status("POST", f"{elsewhere}/start") == 404
    assert status("PUT", f"/v1/projects/{unknown}", b'{"path": "/tmp/x"}') == 404


def test_a_vm_is_not_reached_through_another_project(server: Server) -> None:
    """E-2, M-12, B-5: it stays untouched."""
    project, other = server.project(), server.project()
    vm = server.vm(project, "mine")
    assert server.link(vm, 9999, 9998).status_code == 201
    elsewhere = vm.replace(project, other)
    nio = {"type": "nio_udp", "lport": 9997, "rport": 9998, "rhost": "127.0.0.1"}
    for method, path, body in (
        ("GET", elsewhere, None),
        ("PUT", elsewhere, {"name": "theirs"}),
        ("DELETE", elsewhere, None),
        ("POST", f"{elsewhere}/start", {}),
        ("POST", f"{elsewhere}/stop", {}),
        ("POST", f"{elsewhere}/reload", {}),
        ("POST", f"{elsewhere}/adapters/0/ports/0/nio", nio),
        ("DELETE", f"{elsewhere}/adapters/0/ports/0/nio", None),
    ):
        refusal(server.http.request(method, path, json=body), 404)
    assert shown(server.http.get(vm))["name"] == "mine"
    assert shown(server.http.get(vm))["status"] == "stopped"
    nothing(server.http.delete(project))


def test_a_failed_request_leaves_no_trace(server: Server) -> None:
    """E-3."""
    project = server.project()
    vm = server.vm(project, "PC", startup_script="show")
    directory = Path(shown(server.http.get(project))["path"])

    def state() -> Any:
        return (
            [shown(server.http.get(path)) for path in ("/v1/projects", project, vm, f"{project}/vpcs/vms")],
            sorted(str(path) for path in directory.parent.rglob("*")),
            (Path(shown(server.http.get(vm))["vm_directory"]) / "startup.vpc").read_bytes(),
        )

    before = state()
    in_use = shown(server.http.get(vm))["console"]
    for method, path, body, status in (
        ("POST", "/v1/projects", {"name": "x", "path": "/tmp/elsewhere"}, 403),
        ("POST", "/v1/projects", {"name": ""}, 400),
        ("PUT", project, {"name": "new", "temporary": True, "path": "/tmp/elsewhere"}, 403),
        ("PUT", project, {"name": "new", "temporary": "yes"}, 400),
        ("POST", f"{project}/vpcs/vms", {"name": "x", "console": in_use}, 409),
        ("POST", f"{project}/vpcs/vms", {"name": "x", "console": 1}, 409),
        ("PUT", vm, {"name": "new", "startup_script": "new", "console": 1}, 409),
        ("PUT", vm, {"name": "new", "extra": 1}, 400),
        ("POST", f"{vm}/start", {}, 409),
    ):
        refusal(server.http.request(method, path, json=body), status)
    assert state() == before


# Web pages (B-17) and WebSockets


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
    """T-8: nothing of the API is a WebSocket."""
    logged = len(server.log)
    handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    with Wire(server.port) as wire:
        wire.head("GET", path, *handshake, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *origin)
        assert 400 <= wire.reply().status < 500
    assert server.http.get("/v1/version").status_code == 200
    assert "Traceback" not in server.log[logged:]


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
