"""The far end of a link becomes a dotted quad (N-4, Q-6, B-7)."""

import asyncio
import socket
from typing import Any

import pytest
from hypothesis import given, strategies as st

from labplane import BadRequest, Conflict, resolve_rhost
from labplane.net import rhost


@given(st.ip_addresses(v=4).filter(lambda address: str(address) != "255.255.255.255"))
def test_an_address_stays_as_it_is(address: Any) -> None:
    assert asyncio.run(resolve_rhost(str(address))) == str(address)


def test_a_name_becomes_its_address() -> None:
    assert asyncio.run(resolve_rhost("localhost")) == "127.0.0.1"


@pytest.mark.parametrize(
    "impossible",
    [
        "256.1.1.1",
        "10.2",
        "10.1.2.300",
        "127.1",
        "1.2.3.4.5",
        "01.2.3.4",
        "7",
        "::1",
        "fe80::1%lo",
        "255.255.255.255",
        " 127.0.0.1",
        "127.0.0.1 ",
        "127.0.0.1\n",
        "a b",
        "-t",
        "a.-b",
        "a..b",
        ".a",
        "a/b",
        "a;b",
        "é.example",
        "\0",
        "a" * 64,
        "a." * 130,
    ],
)
def test_what_can_be_no_host_is_a_bad_request(impossible: str) -> None:
    with pytest.raises(BadRequest, match="rhost"):
        asyncio.run(resolve_rhost(impossible))


@given(st.text(max_size=300))
def test_no_text_gives_anything_but_an_address_or_a_refusal(text: str) -> None:
    async def nothing_resolves(*_: object, **__: object) -> None:
        raise socket.gaierror

    async def resolve() -> None:
        asyncio.get_running_loop().getaddrinfo = nothing_resolves  # type: ignore[assignment]
        try:
            found = await resolve_rhost(text)
        except (BadRequest, Conflict):
            return
        assert socket.inet_ntoa(socket.inet_aton(found)) == found == text

    asyncio.run(resolve())


def resolve_with(answer: Any) -> str:
    async def resolve() -> str:
        asyncio.get_running_loop().getaddrinfo = answer  # type: ignore[method-assign]
        return await resolve_rhost("pc.example")

    return asyncio.run(resolve())


def test_a_name_that_does_not_resolve_is_a_conflict() -> None:
    async def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(Conflict, match=r"pc\.example"):
        resolve_with(unknown)


def test_a_resolver_that_never_answers_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rhost, "PATIENCE", 0.05)

    async def silent(*_: object, **__: object) -> Any:
        await asyncio.Event().wait()

    with pytest.raises(Conflict, match=r"pc\.example"):
        resolve_with(silent)


def test_a_name_for_the_broadcast_address_is_a_conflict() -> None:
    async def broadcast(*_: object, **__: object) -> Any:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("255.255.255.255", 0))]

    with pytest.raises(Conflict, match="broadcast"):
        resolve_with(broadcast)
