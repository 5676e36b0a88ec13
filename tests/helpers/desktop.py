"""What the desktop program of GNS3 1.x does on the wire, and how it starts its local server.

From gns3/http_client.py, gns3/servers.py and gns3/local_server_config.py of its releases 1.3.13 and 1.5.4.
"""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import DEADLINE, until
from wire import Reply, Wire

PROGRAM = Path(sys.executable).parent / "labplane-server"


class Refused(Exception):
    """What the program shows in red. status: of the reply."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Desktop:
    """A client with six connections, as Qt opens them, each request head and body in segments of their own.

    version: of the program, which refuses a server that has another.
    local:   it has started the server itself, and refuses one that is not in local mode.
    """

    def __init__(self, port: int, version: str = "1.5.4", local: bool = False) -> None:
        self.port = port
        self.version = version
        self.local = local
        self._stack = ExitStack()
        self._free: list[Wire] = []

    def __enter__(self) -> "Desktop":
        with self._stack:
            self._threads = self._stack.enter_context(ThreadPoolExecutor(6))
            for _ in range(6):
                wire = self._stack.enter_context(Wire(self.port))
                wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._free.append(wire)
            self._connect()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _connect(self) -> None:
        """The question before all others, and what the program makes of the answer."""
        answer = self.call("GET", "/version")
        assert "version" in answer, "it is not a GNS3 server"
        assert "local" in answer, "it is not a GNS3 server"
        assert answer["version"] == self.version, "client and server have different versions"
        assert answer["local"] is self.local, "it is the wrong kind of server"

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one request; what the program takes from the reply. Raises Refused."""
        wire = self._free.pop()
        try:
            reply = self._exchange(wire, method, path, body)
        finally:
            self._free.append(wire)
        return self._understood(reply)

    def at_once(self, method: str, *calls: tuple[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Send several requests together, each over a connection of its own; the replies in order."""
        return list(self._threads.map(lambda call: self.call(method, *call), calls))

    def _exchange(self, wire: Wire, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        content = json.dumps(body if body is not None else {}).encode()
        secret = base64.b64encode(f"{'u' * 64}:{'p' * 64}".encode()).decode()
        wire.head(
            method,
            f"/v1{path}",
            f"Authorization: Basic {secret}",
            f"User-Agent: GNS3 QT Client v{self.version}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            "Connection: Keep-Alive",
            "Accept-Encoding: gzip, deflate",
            "Accept-Language: en-GB,*",
        )
        wire.send(content)
        return wire.reply(method)

    def _understood(self, reply: Reply) -> dict[str, Any]:
        """A body counts if it is not empty and its type is the very word; else it is as if it were {}."""
        is_json = reply.headers.get("content-type") == "application/json"
        value = json.loads(reply.body) if reply.body.strip() and is_json else {}
        assert isinstance(value, dict)
        if reply.status >= 400:
            raise Refused(reply.status, value["message"])
        return value


@dataclass
class LocalServer:
    """A ``labplane-server`` as the program starts it.

    settings: where the program keeps its own, with log and process id. output: of stdout and stderr.
    """

    process: subprocess.Popen[bytes]
    port: int
    settings: Path
    output: Path

    @property
    def log(self) -> str:
        return (self.settings / "gns3_server.log").read_text()

    @property
    def pid_file(self) -> Path:
        return self.settings / "gns3_server.pid"


def settings_directory(home: Path) -> Path:
    """Where the program keeps its settings; made when missing."""
    directory = home / ".config" / "GNS3"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write_ini(home: Path, server: Mapping[str, Any], **sections: Mapping[str, Any]) -> Path:
    """The INI file as the program writes it."""
    file = settings_directory(home) / "gns3_server.conf"
    text = ""
    for name, values in {"Server": server, **sections}.items():
        text += f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()) + "\n"
    file.write_text(text)
    return file


def unused_port() -> int:
    """As the program looks for another port when its own is taken."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plain_environment(home: Path) -> dict[str, str]:
    """This process's variables without settings of labplane's, and with that home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABPLANE_", "XDG_"))}
    return {**kept, "HOME": str(home)}


@contextmanager
def local_server(home: Path, *options: str, port: int = 0, files: bool = True) -> Iterator[LocalServer]:
    """Start the server as the program does, wait as it does, and end it on leaving.

    options: instead of those of 1.5.4, which must make it listen at `port`.
    files:   have it write log and process id, as all programs since 1.4 do.
    """
    directory = settings_directory(home)
    port = port or unused_port()
    options = options or ("--host=127.0.0.1", f"--port={port}", "--local", "--controller")
    if files:
        options += (f"--log={directory / 'gns3_server.log'}", f"--pid={directory / 'gns3_server.pid'}")
    output = home / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [str(PROGRAM), *options],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=plain_environment(home),
        )
    try:
        until(lambda: _is_reachable(process, port, output), "a connection to the local server")
        yield LocalServer(process, port, directory, output)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _is_reachable(process: subprocess.Popen[bytes], port: int, output: Path) -> bool:
    """A bare connection that is closed without a word, every ten milliseconds: that is how the program waits."""
    assert process.poll() is None, f"the server ended with {process.returncode}:\n{output.read_text()}"
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
    except OSError:
        return False
    return True
