"""The parts of a request: a body that comes in pieces, and ids."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, strategies as st
from starlette.types import Message

from labplane import Route
from labplane.api.requests import parse_uuid, read_body
from labplane.errors import ClientGone, TooLarge
from labplane.validation.named import UUID
from one_vm import nothing, table


async def read(*messages: Any, length: str | None = None, chunked: bool = False, limit: int = 10) -> bytes:
    waiting = list(messages)

    async def receive() -> Any:
        return waiting.pop(0)

    headers = [(b"host", b"x")]
    if length is not None:
        headers.append((b"content-length", length.encode()))
    if chunked:
        headers.append((b"transfer-encoding", b"chunked"))
    return await read_body({"headers": headers}, receive, limit)


def piece(body: bytes, more: bool) -> Any:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_read_to_its_end_and_not_beyond_the_limit() -> None:
    """T-3, T-12, B-20."""

    def got(*messages: Any, **more: Any) -> bytes:
        return asyncio.run(read(*messages, **more))

    assert got() == b""
    assert got(length="0") == b""
    assert got(piece(b"12345", True), piece(b"67890", False), length="10") == b"1234567890"
    assert got(piece(b"1", True), {"type": "http.request"}, chunked=True) == b"1"
    for length in ("11", "9" * 5000):
        with pytest.raises(TooLarge, match="larger than 10 bytes"):
            got(length=length)
    with pytest.raises(TooLarge):
        got(piece(b"123456", True), piece(b"78901", True), chunked=True)
    with pytest.raises(TooLarge):
        got(piece(b"12345678901", False), length="5")
    with pytest.raises(ClientGone):
        got(piece(b"1", True), {"type": "http.disconnect"}, length="5")


def test_a_client_that_hangs_up_before_its_request_is_complete_is_not_answered() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    resource = next(iter(table(Route("POST", "/a", nothing))._resources.values()))
    scope = {"type": "http", "method": "POST", "path": "/a", "headers": [(b"content-length", b"5")], "path_params": {}}
    asyncio.run(resource(scope, receive, send))
    assert sent == []


@given(st.uuids(), st.booleans())
def test_every_uuid_is_one_in_whatever_case(uuid: Any, upper: bool) -> None:
    """E-4, B-27."""
    text = str(uuid)
    assert parse_uuid(text.upper() if upper else text, "vm_id") == text


@given(st.from_regex(UUID["pattern"]) | st.text() | st.uuids().map(lambda uuid: uuid.hex))
def test_whatever_else_is_a_bad_request(text: str) -> None:
    if len(text) == 36 and text.isascii() and text[8] == text[13] == text[18] == text[23] == "-":
        assert parse_uuid(text, "x") == text.lower()
    else:
        with pytest.raises(Exception, match="is not a UUID of the form xxxxxxxx-xxxx"):
            parse_uuid(text, "x")
