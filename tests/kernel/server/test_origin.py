"""Web pages and rebound names are kept away (B-17)."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from labplane.server.origin import OriginCheck


def ask(check: OriginCheck, kind: str = "http", *, scheme: str = "http", **headers: str) -> int | None:
    """The status with which the check refuses; None when it lets through."""
    named = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": kind, "scheme": scheme, "headers": named}
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": f"{kind}.disconnect"}

    async def main() -> None:
        await check(scope, receive, send)

    asyncio.run(main())
    if not sent:
        return None
    if kind == "websocket":
        return int(sent[0]["code"])
    assert json.loads(sent[1]["body"])["status"] == sent[0]["status"]
    return int(sent[0]["status"])


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    pass


LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST", "lab.localhost"]
)
def test_on_loopback_the_names_of_loopback_are_fine(host: str) -> None:
    assert ask(OriginCheck(behind, LOOPBACK), host=host) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.1:8000", "localhost.evil.example", "", ":80", "127.0.0.1.x", "[::2]"]
)
def test_on_loopback_any_other_name_is_refused(host: str) -> None:
    assert ask(OriginCheck(behind, LOOPBACK), host=host) == 403


@pytest.mark.parametrize("host", ["[", "[::1", "]", "[x]:1", "a]b", "\xff", "localhost:8000:1", "//", "@", "[v1.x]"])
@pytest.mark.parametrize("bound", [LOOPBACK, ANYWHERE])
def test_a_garbled_name_is_no_crash(host: str, bound: str) -> None:
    check = OriginCheck(behind, bound)
    assert ask(check, host=host) in (None, 403)
    assert ask(check, host="localhost", origin=host) == 403
    assert ask(check, host="localhost", origin=f"http://{host}") == 403


@pytest.mark.parametrize("host", ["10.1.2.3:8000", "[fe80::1]:80", "localhost", "lab.example", "LAB.example:8000"])
def test_bound_to_every_address_any_address_will_do_and_the_names_that_were_allowed(host: str) -> None:
    assert ask(OriginCheck(behind, ANYWHERE, ["Lab.example"]), host=host) is None


@pytest.mark.parametrize("host", ["evil.example", "lab.example.evil", "10.1.2.3.evil"])
def test_bound_to_every_address_a_name_that_nobody_allowed_is_refused(host: str) -> None:
    """A page under that name may be anybody's, rebound to this address."""
    assert ask(OriginCheck(behind, ANYWHERE, ["lab.example"]), host=host) == 403


def test_bound_to_one_address_it_goes_by_that_and_by_loopback() -> None:
    check = OriginCheck(behind, "10.1.2.3")
    assert ask(check, host="10.1.2.3:8000") is None
    assert ask(check, host="localhost") is None
    assert ask(check, host="10.1.2.4") == 403


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_pages_of_an_origin_that_was_allowed_may_ask(kind: str) -> None:
    check = OriginCheck(behind, LOOPBACK, origins=["https://lab.example"])
    assert ask(check, kind, host="localhost", origin="https://lab.example") is None
    for other in ("http://lab.example", "https://lab.example:8443", "https://lab.example.evil"):
        assert ask(check, kind, host="localhost", origin=other) is not None


def test_a_client_that_names_no_host_at_all_is_no_browser() -> None:
    assert ask(OriginCheck(behind, ANYWHERE)) is None
    assert ask(OriginCheck(behind, LOOPBACK)) is None, "HTTP/1.0 has no Host"


@pytest.mark.parametrize("bound", [LOOPBACK, "localhost", "::1", ANYWHERE])
def test_pages_of_the_server_itself_are_let_through_and_those_of_others_are_not(bound: str) -> None:
    check = OriginCheck(behind, bound)
    for _ in range(2):
        assert ask(check, host="localhost:8000", origin="http://localhost:8000") is None
        assert ask(check, host="localhost:8000", origin="http://LOCALHOST:8000") is None
        for origin in ("http://evil.example", "http://localhost:8001", "null", "", "http://localhost"):
            assert ask(check, host="localhost:8000", origin=origin) == 403
    assert ask(check, origin="http://localhost") == 403


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("lab.example.org:443", "https://lab.example.org"),
        ("lab.example.org", "https://lab.example.org:443"),
        ("lab.example.org", "https://lab.example.org"),
        ("lab.example.org:80", "http://lab.example.org"),
        ("LAB.example.org:8443", "HTTPS://lab.EXAMPLE.org:8443"),
    ],
)
def test_origins_are_compared_with_their_default_ports(host: str, origin: str) -> None:
    """RFC 6454: as behind a proxy, which may speak TLS for the server."""
    check = OriginCheck(behind, LOOPBACK, names=["lab.example.org"])
    assert ask(check, host=host, origin=origin) is None
    assert ask(check, "websocket", host=host, origin=origin) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("lab.example.org:443", "http://lab.example.org"),
        ("lab.example.org:8443", "https://lab.example.org"),
        ("lab.example.org", "https://lab.example.org.evil"),
        ("lab.example.org", "https://lab.example.org/path"),
        ("lab.example.org", "https://user@lab.example.org"),
        ("lab.example.org", "ftp://lab.example.org"),
        ("lab.example.org", "https://lab.example.org:99999"),
    ],
)
def test_an_origin_that_differs_in_scheme_host_or_port_is_refused(host: str, origin: str) -> None:
    assert ask(OriginCheck(behind, LOOPBACK, names=["lab.example.org"]), host=host, origin=origin) == 403


def test_a_server_that_speaks_tls_itself_has_no_pages_of_http() -> None:
    check = OriginCheck(behind, LOOPBACK, names=["lab.example.org"])
    assert ask(check, scheme="https", host="lab.example.org", origin="https://lab.example.org") is None
    assert ask(check, scheme="https", host="lab.example.org", origin="http://lab.example.org") == 403


@pytest.mark.parametrize("named", ["https://pages.example", "https://pages.example:443", "HTTPS://PAGES.example"])
def test_an_origin_that_was_allowed_may_be_written_with_its_port(named: str) -> None:
    check = OriginCheck(behind, LOOPBACK, origins=[named])
    assert ask(check, host="localhost", origin="https://pages.example") is None
    assert ask(check, host="localhost", origin="https://pages.example:8443") == 403


def test_a_websocket_is_refused_by_closing_it() -> None:
    assert ask(OriginCheck(behind, LOOPBACK), "websocket", host="evil.example") == 1008
    assert ask(OriginCheck(behind, LOOPBACK), "websocket", host="localhost") is None


def test_the_lifespan_passes() -> None:
    reached: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["type"])

    asyncio.run(OriginCheck(app, LOOPBACK)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert reached == ["lifespan"]


def test_names_that_were_seen_are_remembered_but_not_without_end() -> None:
    check = OriginCheck(behind, LOOPBACK)
    for port in range(1000):
        assert ask(check, host=f"localhost:{port}") is None
    assert len(check._known) == 16
