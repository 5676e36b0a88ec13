"""What hostile and broken clients send: strategies of Hypothesis for requests, and for what comes on one connection."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from hypothesis import strategies as st

Ending = Literal["read", "hang up", "no more"]

# Each of them has been somebody's way in, or somebody's crash.
HOSTILE = [
    "",
    ".",
    "..",
    "../../../../tmp/x",
    "..\\..\\x",
    "/etc/passwd",
    "a/../../b",
    "C:\\x",
    "; touch x",
    "$(touch x)",
    "`touch x`",
    "| id",
    "&& id",
    "-p",
    "--help",
    "%s%n%x",
    "%00",
    "%2e%2e%2f",
    "{0.__class__}",
    "{{7*7}}",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "\r\nX-Injected: 1",
    "a\nb",
    "\0",
    "\x7f\x1b[2J",
    "\u202e",
    "\ufeff",
    "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "\U0001f600",
    "e\u0301",
    "null",
    "CON",
    "x" * 300,
    "x" * 5000,
    "00000000-0000-0000-0000-000000000000",
]
NUMBERS = [0, 1, -1, 2, 255, 1024, 65535, 65536, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, True, False]
HOSTS = ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "255.255.255.255", "", "..", "1.2.3", 1, None]
ENDLESS = ("/events", "/notifications")
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"]
HEADERS = [
    ("Accept", "text/html"),
    ("Accept", "*/*;q=0"),
    ("Accept-Encoding", "gzip, br"),
    ("Authorization", "Basic ====="),
    ("Authorization", "Bearer \xff"),
    ("Connection", "close"),
    ("Connection", "keep-alive, Upgrade"),
    ("Content-Encoding", "gzip"),
    ("Content-Type", "text/plain; charset=utf-7"),
    ("Cookie", "labplane_session=; ;=;\x80"),
    ("Expect", "100-continue"),
    ("If-Match", '"x"'),
    ("If-None-Match", "*"),
    ("Last-Event-ID", "99999999999999999999"),
    ("Origin", "null"),
    ("Origin", "http://evil.example"),
    ("Range", "bytes=0-,-1,5-2"),
    ("X-Forwarded-For", "'; DROP"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X", "x" * 3000),
    ("Y", ""),
]


@dataclass(frozen=True)
class Known:
    """A request whose end is where it says, so that it has one reply. Names in braces stand for live ids."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    chunks: int = 0
    version: str = "1.1"

    def rendered(self, authority: str, ids: Mapping[str, str]) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/{self.version}", f"Host: {authority}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        body = _filled(self.body or b"", ids)
        if self.chunks:
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in _cut(body, self.chunks)) + b"0\r\n\r\n"
        elif self.body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return _filled("\r\n".join((*lines, "", "")).encode("latin-1"), ids) + body


@dataclass(frozen=True)
class Visit:
    """What a client sends on one connection.

    requests: whole ones, each of which has a reply.
    tail:     bytes after them that may be anything.
    cuts:     how many pieces all of that comes in.
    ending:   whether the client then reads its replies, hangs up at once, or says that it will send no more.
    """

    requests: tuple[Known, ...]
    tail: bytes
    cuts: int
    ending: Ending

    @property
    def count(self) -> int:
        return len(self.requests) + bool(self.tail)

    def pieces(self, authority: str, ids: Mapping[str, str]) -> list[bytes]:
        whole = b"".join(request.rendered(authority, ids) for request in self.requests)
        return _cut(whole + _filled(self.tail, ids), self.cuts)


def visits(document: Mapping[str, Any], authority: str) -> st.SearchStrategy[Visit]:
    """Of the server with this OpenAPI document."""
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    requests = st.one_of([_request(document, *operation) for operation in operations])
    whole = st.one_of([_request(document, *one) for one in operations if not one[1].endswith(ENDLESS)])
    endings: st.SearchStrategy[Ending] = st.sampled_from(["read", "read", "read", "hang up", "no more"])
    cut_off: st.SearchStrategy[Ending] = st.sampled_from(["hang up", "no more"])
    cuts = st.sampled_from([1, 1, 1, 2, 3, 7])
    tails = st.one_of(
        requests.flatmap(partial(_damaged, authority)),
        _upgrades(authority, [path for _, path, _ in operations]),
        st.binary(min_size=1, max_size=200),
    )
    return st.one_of(
        st.builds(Visit, st.lists(whole, min_size=1, max_size=5).map(_up_to_the_last), st.just(b""), cuts, endings),
        st.builds(Visit, st.lists(whole, min_size=1, max_size=5).map(_up_to_the_last), st.just(b""), cuts, endings),
        st.builds(Visit, st.lists(whole, max_size=2).map(tuple), tails, cuts, cut_off),
    )


def _up_to_the_last(requests: list[Known]) -> tuple[Known, ...]:
    """Without those after one that closes the connection: who sends more then may lose the reply (RFC 9112, 9.6)."""
    closing = [one.version == "1.0" or ("Connection", "close") in one.headers for one in requests]
    return tuple(requests[: closing.index(True) + 1] if True in closing else requests)


def _request(
    document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> st.SearchStrategy[Known]:
    return st.builds(
        Known,
        st.one_of(st.just(method), st.just(method), st.just(method), st.sampled_from(METHODS)),
        _paths(path),
        st.lists(st.sampled_from(HEADERS), max_size=3).map(tuple),
        _bodies(document, operation) if method in ("POST", "PUT") else st.none() | st.just(b"") | st.just(b"{}"),
        st.sampled_from([0, 0, 0, 1, 3]),
        st.sampled_from(["1.1"] * 9 + ["1.0"]),
    ).map(_sane)


def _sane(request: Known) -> Known:
    """HTTP/1.0 knows no chunks."""
    if request.version == "1.0" and request.chunks:
        return Known(request.method, request.path, request.headers, request.body or b"", 0, "1.0")
    return request


def _paths(path: str) -> st.SearchStrategy[str]:
    """The path, with live ids and sometimes something else in their places; or one that looks like it."""
    hostile = st.sampled_from(HOSTILE) | st.text(max_size=8)
    segments = [
        st.sampled_from([segment] * 5 + ["0", "1"]) | hostile.map(partial(quote, safe=""))
        if segment.startswith("{")
        else st.just(segment)
        for segment in path.split("/")
    ]
    usual = st.tuples(*segments).map("/".join)
    odd = st.builds(
        "{}{}".format, usual, st.sampled_from(["/", "//", "/..", "?", "?a=b&a", "#x", "%", "%zz", ";", "?%00"])
    )
    return st.one_of(usual, usual, usual, odd)


def _bodies(document: Mapping[str, Any], operation: Mapping[str, Any]) -> st.SearchStrategy[bytes | None]:
    content = operation.get("requestBody", {}).get("content", {})
    if "application/octet-stream" in content:
        return st.binary(max_size=300) | st.sampled_from([b"", EMPTY_ZIP, EMPTY_ZIP[:-1], zlib.compress(bytes(9999))])
    schema = content.get("application/json", {}).get("schema", {})
    anything = _json_values()
    members = dict(_members(document, schema))
    likely = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(examples) | anything for name, examples in members.items()}
    )
    usual = st.fixed_dictionaries({name: st.sampled_from(examples) for name, examples in members.items() if examples})
    text = st.one_of(usual, usual, likely, anything).map(json.dumps).map(str.encode)
    broken = st.binary(max_size=40) | st.sampled_from([b"{", b"[" * 2000, b"NaN", b'{"name": "\\ud800"}', b"1e999"])
    return st.one_of(text, text, text, text, broken, st.none())


def _members(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterable[tuple[str, list[Any]]]:
    """Each member that an object of this schema may have, with values that are likely to do."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for part in (*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from _members(document, part)
    for name, member in schema.get("properties", {}).items():
        examples = [example[name] for example in schema.get("examples", ()) if name in example]
        examples += member.get("examples", []) + member.get("enum", []) + [f"{{{name}}}"]
        yield name, HOSTS if name == "rhost" else [*examples, *(["{udp_port}"] if name in ("lport", "rport") else [])]


def _json_values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.sampled_from(HOSTILE) | st.sampled_from(NUMBERS) | st.text(max_size=10)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(HOSTILE), inner, max_size=3),
        max_leaves=6,
    )


def _damaged(authority: str, request: Known) -> st.SearchStrategy[bytes]:
    """That request cut short, with other bytes in it, or with lengths that are not true."""
    data = request.rendered(authority, {})
    lies = st.sampled_from(
        [
            "Content-Length: 5",
            "Content-Length: -1",
            "Content-Length: 99999999999999999999",
            "Content-Length: 1, 2",
            "Content-Length: 0x10",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
            "Host: twice",
            "Bad Header: 1",
            " folded: 1",
            ": nameless",
            "Upgrade: h2c",
        ]
    )
    return st.one_of(
        st.integers(0, len(data)).map(lambda end: data[:end]),
        st.builds(partial(_overwritten, data), st.integers(0, len(data)), st.binary(min_size=1, max_size=6)),
        lies.map(lambda line: data.replace(b"\r\n", f"\r\n{line}\r\n".encode(), 1)),
        st.binary(max_size=30).map(lambda more: data + more),
    )


def _overwritten(data: bytes, at: int, other: bytes) -> bytes:
    return data[:at] + other + data[at + len(other) :]


def _upgrades(authority: str, paths: list[str]) -> st.SearchStrategy[bytes]:
    """The beginning of a WebSocket, and frames as they should not be."""
    consoles = "/v1/projects/{project_id}/vpcs/vms/{vm_id}/console"
    frames = st.binary(max_size=60) | st.builds(
        _frame, st.integers(0, 255), st.integers(0, 127), st.booleans(), st.binary(max_size=200)
    )
    return st.builds(
        partial(_upgrade, authority),
        st.sampled_from(["/v1/events", consoles, *paths]),
        st.sampled_from(["13", "8", "x", ""]),
        st.sampled_from([base64.b64encode(bytes(16)).decode(), "x", ""]),
        st.lists(frames, max_size=4),
    )


def _upgrade(authority: str, path: str, version: str, key: str, frames: list[bytes]) -> bytes:
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    return head.encode() + b"".join(frames)


def _frame(first: int, length: int, masked: bool, payload: bytes) -> bytes:
    return bytes([first, (masked << 7) | length]) + payload


def _filled(data: bytes, ids: Mapping[str, str]) -> bytes:
    for name, value in ids.items():
        data = data.replace(f"{{{name}}}".encode(), value.encode())
    return data


def _cut(data: bytes, pieces: int) -> list[bytes]:
    """In so many pieces of about the same size, or fewer; none is empty."""
    size = max(1, -(-len(data) // pieces))
    return [data[at : at + size] for at in range(0, len(data), size)]
