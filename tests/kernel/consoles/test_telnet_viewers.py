"""Viewers on real sockets: the slow, the silent, those that leave, and the real telnet program."""

import asyncio
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labplane.consoles import telnet as module
from labplane.consoles.telnet import BACKLOG, FAREWELL, Telnet
from line import OFFER, Line, until
from telnet_console import TelnetConsole


@contextmanager
def connected(console: TelnetConsole, buffer: int | None = None) -> Iterator[socket.socket]:
    assert console.address is not None
    with socket.socket() as client:
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.connect(console.address)
        client.setblocking(False)
        yield client


async def listening(typed: Callable[[bytes], None], **options: Any) -> TelnetConsole:
    console = TelnetConsole(typed, **options)
    await console.listen("127.0.0.1", 0)
    return console


async def read_until(client: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        data = await asyncio.get_running_loop().sock_recv(client, 65536)
        assert data, got
        got += data
    return got


def test_a_client_that_says_nothing_is_shown_everything_at_once(run: Any) -> None:
    async def main() -> None:
        console = await listening(lambda _: None)
        console.feed(b"Welcome\r\nVPCS> ")
        with connected(console) as client:
            assert await read_until(client, b"> ") == OFFER + b"Welcome\r\nVPCS> "
            await console.end()

    run(main())


def test_a_connection_is_kept_alive(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[asyncio.Transport] = []

    class Noted(Telnet):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            lines.append(self._line)

    monkeypatch.setattr(module, "Telnet", Noted)

    async def main() -> None:
        console = await listening(lambda _: None)
        with connected(console) as client:
            await read_until(client, OFFER)
            peer = lines[0].get_extra_info("socket")
            assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 120_000
            await console.end()

    run(main())


def test_a_viewer_that_stops_reading_is_dropped_and_the_others_see_on(run: Any) -> None:
    async def main() -> None:
        console = await listening(lambda _: None)
        with connected(console, buffer=4096) as deaf, connected(console) as reading:
            await read_until(reading, OFFER)
            await until(lambda: console.viewers == 2)
            fed = 0
            while console.viewers == 2:
                console.feed(b"x" * 4095 + b"\n")
                fed += 4096
                await read_until(reading, b"\n")
                await asyncio.sleep(0)
                assert fed < 64 * BACKLOG
            console.feed(b"alive")
            await read_until(reading, b"alive")
            assert deaf.fileno() >= 0
            await console.end()

    run(main())


def test_a_client_that_half_closes_still_gets_the_output(run: Any) -> None:
    async def main() -> None:
        typed: list[bytes] = []
        console = await listening(typed.append)
        with connected(console) as client:
            await asyncio.get_running_loop().sock_sendall(client, b"show\n")
            client.shutdown(socket.SHUT_WR)
            await until(lambda: bool(typed))
            assert typed == [b"show\r"]
            console.feed(b"show\r\nVPCS> ")
            await read_until(client, b"VPCS> ")
            await console.end()
            assert await asyncio.get_running_loop().sock_recv(client, 100) == b""

    run(main())


def test_a_half_closed_client_is_hung_up_after_a_silence(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 0.01)

    async def main() -> None:
        console = await listening(lambda _: None)
        with connected(console) as client:
            client.shutdown(socket.SHUT_WR)
            await read_until(client, OFFER)
            assert await asyncio.get_running_loop().sock_recv(client, 100) == b""
            await until(lambda: not console.viewers)
        await console.end()

    run(main())


def test_a_viewer_that_disconnects_is_closed_in_order_with_keys_still_on_their_way(run: Any) -> None:
    async def main() -> None:
        typed: list[bytes] = []
        console = await listening(typed.append, leave_on=b"NOT daemon mode")
        with connected(console) as client:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, b"disconnect\r")
            await until(lambda: bool(typed))
            console.feed(b"disconnect\r\nNOT daemon mode\r\n\r\n\rVPCS> ")
            await loop.sock_sendall(client, b"too late\r")
            assert (await read_until(client, b"Good-bye\r\n")).endswith(b"disconnect\r\n\r\nGood-bye\r\n")
            assert await loop.sock_recv(client, 100) == b""
            await loop.sock_sendall(client, b"still\r")
        await console.end()
        assert typed == [b"disconnect\r"]

    run(main())


def test_a_client_that_keeps_its_end_open_is_cut_off(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAREWELL", 0.01)

    async def main() -> None:
        console = await listening(lambda _: None)
        with connected(console) as client:
            await read_until(client, OFFER)
            await console.end()
            await console.empty()
            assert not console._leaving

    run(main())


def test_output_after_hanging_up_is_neither_sent_nor_a_reprieve() -> None:
    async def main() -> None:
        console, line = TelnetConsole(lambda _: None), Line()
        viewer = Telnet(console)
        viewer.connection_made(line)
        assert viewer.eof_received()
        viewer.hang_up()
        console.feed(b"late")
        assert line.sent == OFFER
        assert viewer._timer is not None
        assert viewer._timer.when() <= asyncio.get_running_loop().time() + FAREWELL
        viewer.connection_lost(None)

    asyncio.run(main())


def test_hanging_up_twice_or_on_a_lost_line_is_harmless() -> None:
    async def main() -> None:
        console, line = TelnetConsole(lambda _: None), Line()
        viewer = Telnet(console)
        viewer.connection_made(line)
        assert console.viewers == 1
        line.close()
        viewer.hang_up()
        viewer.hang_up()
        viewer.connection_lost(ConnectionResetError())
        viewer.connection_lost(None)
        assert console.viewers == 0

    asyncio.run(main())


def test_the_real_telnet_sees_banner_prompt_and_an_orderly_goodbye_from_a_real_vpcs(run: Any, tmp_path: Path) -> None:
    vpcs, telnet = shutil.which("vpcs"), shutil.which("telnet")
    assert vpcs, "vpcs is not installed"
    assert telnet, "telnet is not installed"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        machine, terminal = pty.openpty()
        path = os.ttyname(terminal)
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", f"cd {tmp_path} && exec {vpcs} -i 1 -s 30123 -c 30124 -t 127.0.0.1"],
            {"TERM": "vt100", "PATH": "/usr/bin:/bin"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, path, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ],
            setsid=True,
        )
        os.close(terminal)
        console = await listening(lambda keys: _write(machine, keys), leave_on=b"NOT daemon mode")
        loop.add_reader(machine, lambda: console.feed(os.read(machine, 65536)))
        assert console.address is not None
        screen, keyboard = pty.openpty()
        client = subprocess.Popen(
            [telnet, console.address[0], str(console.address[1])], stdin=keyboard, stdout=keyboard, stderr=keyboard
        )
        os.close(keyboard)
        try:
            first = await _see(screen, b"VPCS> ")
            assert b"Welcome to Virtual PC Simulator" in first
            _write(screen, b"disconnect\r")
            last = await _see(screen, b"Connection closed by foreign host.")
            assert b"disconnect\r\n\r\nGood-bye\r\n" in last.replace(b"\r\r\n", b"\r\n")
            assert b"NOT daemon mode" not in last
            await asyncio.to_thread(client.wait)
            with connected(console) as newcomer:
                assert b"NOT daemon mode" not in await read_until(newcomer, b"VPCS> ")
        finally:
            loop.remove_reader(machine)
            client.kill()
            client.wait()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(machine)
            os.close(screen)
            await console.end()

    run(main())


def _write(terminal: int, keys: bytes) -> None:
    os.write(terminal, keys)


async def _see(screen: int, words: bytes) -> bytes:
    def see() -> bytes:
        got = b""
        while words not in got:
            assert select.select([screen], [], [], 10)[0], got
            got += os.read(screen, 65536)
        return got

    return await asyncio.to_thread(see)
