"""Where a console listens: moved, refused, closed and free again."""

import asyncio
import socket
from typing import Any

import pytest

from labplane.consoles import console as module, telnet
from line import until
from screen import Screen, nowhere
from telnet_console import TelnetConsole


def test_a_viewer_that_never_goes_does_not_hold_up_closing(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    async def main() -> None:
        console = TelnetConsole(nowhere)
        Screen(console, obedient=False)
        await console.end()
        assert console.viewers == 0

    run(main())


def test_moving_keeps_the_viewers_and_frees_the_old_address(run: Any) -> None:
    async def main() -> None:
        console = TelnetConsole(nowhere)
        await console.listen("127.0.0.1", 0)
        former = console.address
        assert former is not None
        reader, writer = await asyncio.open_connection(*former)
        await until(lambda: console.viewers == 1)
        await console.listen("127.0.0.1", 0)
        assert console.address != former
        with socket.create_server(former):
            pass
        console.feed(b"still here")
        await reader.readuntil(b"still here")
        writer.close()
        await writer.wait_closed()
        await console.end()

    run(main())


def test_listening_where_it_listens_already_changes_nothing(run: Any) -> None:
    async def main() -> None:
        console = TelnetConsole(nowhere)
        await console.listen("127.0.0.1", 0)
        address = console.address
        assert address is not None
        await console.listen(*address)
        assert console.address == address
        await console.end()

    run(main())


def test_a_taken_address_leaves_the_console_where_it_was(run: Any) -> None:
    async def main() -> None:
        console = TelnetConsole(nowhere)
        await console.listen("127.0.0.1", 0)
        address = console.address
        assert address is not None
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
            await console.listen(*taken.getsockname())
        assert console.address == address
        _, writer = await asyncio.open_connection(*address)
        await until(lambda: console.viewers == 1)
        writer.close()
        await writer.wait_closed()
        await console.end()

    run(main())


def test_the_address_can_be_bound_as_soon_as_closing_returns(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telnet, "FAREWELL", 0.01)

    async def main() -> None:
        console = TelnetConsole(nowhere)
        await console.listen("127.0.0.1", 0)
        address = console.address
        assert address is not None
        _, writer = await asyncio.open_connection(*address)
        await until(lambda: console.viewers == 1)
        await console.end()
        with socket.create_server(address):
            assert console.address is None
        writer.close()
        await writer.wait_closed()

    run(main())


def test_it_is_bound_to_the_given_host_alone(run: Any) -> None:
    async def main() -> None:
        console = TelnetConsole(nowhere)
        await console.listen("127.0.0.1", 0)
        assert console.address is not None
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.2", console.address[1])
        await console.end()

    run(main())


def test_a_closed_console_does_not_listen_again(run: Any) -> None:
    async def main() -> None:
        console = TelnetConsole(nowhere)
        opening = asyncio.create_task(console.listen("127.0.0.1", 0))
        await asyncio.sleep(0)
        await console.end()
        (outcome,) = await asyncio.gather(opening, return_exceptions=True)
        assert outcome is None or (isinstance(outcome, RuntimeError) and "closed" in str(outcome))
        with pytest.raises(RuntimeError, match="closed"):
            await console.listen("127.0.0.1", 0)
        assert console.address is None

    run(main())
