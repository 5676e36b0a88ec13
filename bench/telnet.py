"""What telnet costs a console: time to its first byte and memory, with telnetlib3 and with a telnet of our own.

Run `python -m bench.telnet` at the top of the repository (Linux; programs `telnet` on the PATH). Each engine runs in a
process of its own: first without, then with `CONSOLES` listening consoles, then with one viewer at each.

- first byte: from connect() to the first byte of the banner, in ms; once with a bare TCP client that never answers the
  negotiation, once with the real telnet client, whose bytes a relay passes on so that its own start is not counted.
- RSS: of the whole process, divided by the consoles, in KiB, over that of the process before the first console.
- import: of the library, once a process; its modules are loaded before anything is measured.

The bounds that decide for or against the library: 20 ms and 50 KiB.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import pty
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import uvloop

CONSOLES = 200
ROUNDS = 3
CONNECTS = 15
BANNER = b"\r\nWelcome to Virtual PC Simulator, version 0.6\r\n" + b"All rights reserved.\r\n" * 25 + b"\r\nVPCS> "
IAC, SB, SE = 255, 250, 240
WILL, WONT, DO, DONT = 251, 252, 253, 254
ANSWER = bytes([IAC, DO, 1, IAC, DO, 3, IAC, WILL, 3])


class Bare(asyncio.Protocol):
    """No telnet at all: what the event loop and the console cost."""

    def __init__(self, console: Any) -> None:
        self.console = console

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.line = cast(asyncio.Transport, transport)
        self.console.attach(self)

    def send(self, data: bytes) -> None:
        self.line.write(data)

    def hang_up(self) -> None:
        self.line.close()

    def data_received(self, data: bytes) -> None:
        self.console.typed(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.console.detach(self)


class Own(Bare):
    """The telnet that we would write: a state machine over the options, everything but ECHO and SGA refused."""

    def __init__(self, console: Any) -> None:
        super().__init__(console)
        self.state = "data"
        self.verb = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(bytes([IAC, WILL, 1, IAC, WILL, 3, IAC, DO, 3]))
        super().connection_made(transport)

    def send(self, data: bytes) -> None:
        self.line.write(data.replace(b"\xff", b"\xff\xff"))

    def data_received(self, data: bytes) -> None:
        keys = bytearray()
        for byte in data:
            if self.state == "data" and byte != IAC:
                keys.append(byte)
            elif self.state == "data":
                self.state = "command"
            elif self.state == "command":
                if byte == IAC:
                    keys.append(byte)
                self.verb = byte
                self.state = {SB: "sub", WILL: "option", WONT: "option", DO: "option", DONT: "option"}.get(byte, "data")
            elif self.state == "option":
                if self.verb == DO and byte not in (1, 3):
                    self.line.write(bytes([IAC, WONT, byte]))
                elif self.verb == WILL and byte != 3:
                    self.line.write(bytes([IAC, DONT, byte]))
                self.state = "data"
            elif self.state == "sub" and byte == IAC:
                self.state = "sub command"
            elif self.state == "sub command":
                self.state = "data" if byte == SE else "sub"
        if keys:
            self.console.typed(self, bytes(keys))


Listen = Callable[[], Awaitable[int]]


def bare(protocol: Callable[[Any], asyncio.Protocol]) -> Listen:
    from labplane.consoles.console import Console

    async def listen() -> int:
        console = Console(lambda _: None)
        console.feed(BANNER)
        server = await asyncio.get_running_loop().create_server(lambda: protocol(console), "127.0.0.1", 0)
        keep.append((console, server))
        return int(server.sockets[0].getsockname()[1])

    return listen


def ours() -> Listen:
    """telnetlib3 as labplane uses it: protocol class derived, banner sent at connect."""
    from labplane.consoles.console import Console
    from labplane.consoles.listener import Listener

    async def listen() -> int:
        console = Console(lambda _: None)
        console.feed(BANNER)
        listener = Listener(console)
        await listener.listen("127.0.0.1", 0)
        keep.append(listener)
        assert listener.address is not None
        return listener.address[1]

    return listen


def stock() -> Listen:
    """telnetlib3 as its manual begins: create_server(shell=...), everything else left as it is."""
    from telnetlib3.server import create_server

    async def shell(reader: Any, writer: Any) -> None:
        writer.write(BANNER)
        while await reader.read(1024):
            pass

    async def listen() -> int:
        server = await create_server("127.0.0.1", 0, shell=shell, encoding=False)
        keep.append(server)
        assert server.sockets is not None
        return int(server.sockets[0].getsockname()[1])

    return listen


ENGINES: dict[str, Callable[[], Listen]] = {
    "no telnet": lambda: bare(Bare),
    "our own": lambda: bare(Own),
    "telnetlib3": ours,
    "telnetlib3, stock": stock,
}
LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
keep: list[Any] = []


def rss(pid: int) -> float:
    """Resident memory of a process, KiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def serve(engine: str, loop: str) -> None:
    """The measured process: says "ready", listens when it reads a line, says where, goes on until it is killed."""
    listen = ENGINES[engine]()

    async def run() -> None:
        await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps([await listen() for _ in range(CONSOLES)]), flush=True)
        await asyncio.Event().wait()

    asyncio.Runner(loop_factory=LOOPS[loop]).run(run())


def bare_client(port: int) -> tuple[socket.socket, float]:
    """A connection that never answers, and the ms until the banner began."""
    begin = time.perf_counter()
    line = socket.create_connection(("127.0.0.1", port))
    got = b""
    while b"Welcome" not in got:
        got += line.recv(4096)
    return line, (time.perf_counter() - begin) * 1000


def telnet_client(port: int) -> float:
    """The ms until the banner began, with the real client's answers to the negotiation."""
    with socket.create_server(("127.0.0.1", 0)) as relay:
        master, slave = pty.openpty()
        client = subprocess.Popen(
            ["telnet", "127.0.0.1", str(relay.getsockname()[1])], stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        near, _ = relay.accept()
        begin = time.perf_counter()
        far = socket.create_connection(("127.0.0.1", port))
        got = b""
        while b"Welcome" not in got:
            for line in select.select([near, far], [], [])[0]:
                data = line.recv(4096)
                (near if line is far else far).sendall(data)
                got += data if line is far else b""
        took = (time.perf_counter() - begin) * 1000
        far.close()
        near.close()
        client.kill()
        client.wait()
        os.close(master)
    return took


def measure(engine: str, loop: str) -> tuple[float, float, float, float]:
    """First byte (bare, telnet) in ms and RSS per console (nobody there, a viewer each) in KiB."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.telnet", engine, loop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # TelnetServer 5.0.1, stock, logs an InvalidStateError for clients that leave early
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            server.stdout.readline()
            empty = rss(server.pid)
            server.stdin.write("\n")
            server.stdin.flush()
            ports = json.loads(server.stdout.readline())
            nobody = (rss(server.pid) - empty) / CONSOLES
            lines = [socket.create_connection(("127.0.0.1", port)) for port in ports]
            for line in lines:
                line.sendall(ANSWER)
            for line in lines:
                while b"VPCS> " not in line.recv(4096):
                    pass
            time.sleep(0.2)
            viewed = (rss(server.pid) - empty) / CONSOLES
            connects = 1 if engine == "telnetlib3, stock" else CONNECTS
            silent = statistics.median(bare_client(ports[n])[1] for n in range(connects))
            answered = statistics.median(telnet_client(ports[n]) for n in range(CONNECTS))
        finally:
            server.kill()
    return silent, answered, nobody, viewed


def library() -> tuple[float, float]:
    """Importing what labplane uses of telnetlib3 into a process that has asyncio: ms, KiB."""
    code = (
        "import asyncio, logging, time; from bench.telnet import rss; import os; before = rss(os.getpid());"
        "begin = time.perf_counter(); import telnetlib3.server_base;"
        "print((time.perf_counter() - begin) * 1000, rss(os.getpid()) - before)"
    )
    ms, kib = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    return float(ms), float(kib)


def main() -> None:
    print("# Telnet: the library against our own\n")
    print(
        f"`python -m bench.telnet`, median of {ROUNDS} rounds, {CONSOLES} consoles; telnetlib3 {version('telnetlib3')},"
    )
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores. Bounds for the library: 20 ms, 50 KiB.\n")
    print("| engine | loop | first byte, bare TCP, ms | with telnet, ms | KiB per console | with a viewer, KiB |")
    print("|---|---|--:|--:|--:|--:|")
    for loop in LOOPS:
        for engine in ENGINES:
            rounds = [measure(engine, loop) for _ in range(ROUNDS)]
            figures = [statistics.median(column) for column in zip(*rounds, strict=True)]
            print(f"| {engine} | {loop} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |", flush=True)
    imports = [library() for _ in range(ROUNDS + 2)]
    ms, kib = (statistics.median(column) for column in zip(*imports, strict=True))
    print(f"\nImporting the library: {ms:.0f} ms and {kib / 1024:.1f} MiB, once a process.")
    print("\n`telnetlib3` is labplane's own use of it: a derived protocol class that speaks at connect. `stock` is its")
    print("`create_server(shell=...)` with default settings, which lets the shell speak after the negotiation.")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(sys.argv[1], sys.argv[2])
    else:
        main()
