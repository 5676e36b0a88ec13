"""What tests share: a labplane server in a process of its own, and a client for it."""

import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

DEADLINE = 20.0


def until(look: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Call `look` until it gives something true, and give that; fail, naming `what`, after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} seconds in vain for {what}")
        time.sleep(0.01)


def free_range(length: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """`length` neighbouring ports below the ephemeral ones that nobody uses now, as "A-B"."""
    while True:
        first = random.randrange(20100, 31000 - length)  # noqa: S311
        if all(port_is_free(number, kind) for number in range(first, first + length)):
            return f"{first}-{first + length - 1}"


def port_is_free(number: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """True when `number` can be bound at every address."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", number))
        except OSError:
            return False
    return True


class Server:
    """A running ``labplane serve``.

    http:     a client whose base is the server's address.
    consoles, udp: the port ranges, as (first, last).
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, consoles: str, udp: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.port = int(url.rsplit(":", 1)[1])
        first, _, last = consoles.partition("-")
        self.consoles = (int(first), int(last))
        first, _, last = udp.partition("-")
        self.udp = (int(first), int(last))
        self.http = httpx2.Client(base_url=url, timeout=30.0, trust_env=False)
        self._log = log

    @property
    def log(self) -> str:
        """All that the server has logged."""
        return self._log.read_text()

    def project(self, **body: Any) -> str:
        """The path of a new project: "/v1/projects/<id>"."""
        reply = self.http.post("/v1/projects", json=body)
        assert reply.status_code == 201, reply.text
        return f"/v1/projects/{reply.json()['project_id']}"

    def vm(self, project: str, name: str = "PC", kind: str = "vpcs", **body: Any) -> str:
        """The path of a new VM of that project."""
        reply = self.http.post(f"{project}/{kind}/vms", json={"name": name, **body})
        assert reply.status_code == 201, reply.text
        return f"{project}/{kind}/vms/{reply.json()['vm_id']}"

    def link(self, vm: str, lport: int, rport: int, rhost: str = "127.0.0.1") -> httpx2.Response:
        """Plug a UDP link into the VM's only port."""
        nio = {"type": "nio_udp", "lport": lport, "rport": rport, "rhost": rhost}
        return self.http.post(f"{vm}/adapters/0/ports/0/nio", json=nio)

    def linked_pair(self, project: str) -> tuple[str, str]:
        """Two VPCS, linked to each other, not started."""
        one, two = self.vm(project, "PC1"), self.vm(project, "PC2")
        ports = [self.http.post(f"{project}/ports/udp").json()["udp_port"] for _ in range(2)]
        for vm, lport, rport in ((one, ports[0], ports[1]), (two, ports[1], ports[0])):
            assert self.link(vm, lport, rport).status_code == 201
        return one, two

    def children(self) -> list[int]:
        """The pids of the processes that the server has started and that still run."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                _, parent, *_ = entry.read_text().rpartition(")")[2].split()
                if int(parent) == self.process.pid:
                    found.append(int(entry.parent.name))
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the server and wait for its end; the returncode."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@contextmanager
def running(
    projects: Path,
    *options: str,
    consoles: str | None = None,
    udp: str | None = None,
    port: int = 0,
    python: Path | str = sys.executable,
    environment: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[Server]:
    """A server that works in `projects` and is ended on leaving.

    options:     further ones for ``labplane serve``.
    consoles, udp: port ranges "A-B"; by default ones that are free now.
    python:      the interpreter whose labplane runs.
    environment: variables on top of this process's.
    within:      a command to run it under.
    """
    consoles = consoles or free_range(40)
    udp = udp or free_range(40, socket.SOCK_DGRAM)
    command = [*within, str(python), "-c", "from labplane.cli import main; main()", "serve", "--port", str(port)]
    command += ["--projects-dir", str(projects), "--console-ports", consoles, "--udp-ports", udp, *options]
    log = projects.parent / f"{projects.name}.{time.monotonic_ns()}.log"
    plain = {key: value for key, value in os.environ.items() if not key.startswith("LABPLANE_")}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env={**plain, **(environment or {})}
        )
    try:
        url = until(lambda: _announced(process, log), "the server's address in its log")
        server = Server(process, url, consoles, udp, log)
        with server.http:
            until(lambda: _answers(server), "an answer of the server")
            yield server
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _announced(process: subprocess.Popen[bytes], log: Path) -> str | None:
    found = re.search(r" at (http://\S+?),", log.read_text())
    assert found or process.poll() is None, f"the server ended with {process.returncode}:\n{log.read_text()}"
    return found[1] if found else None


def _answers(server: Server) -> bool:
    try:
        return server.http.get("/v1/version").status_code == 200
    except httpx2.TransportError:
        return False


class Viewer:
    """A raw TCP client of a console that answers no telnet negotiation."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), DEADLINE)
        self.seen = b""

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def type(self, line: str) -> None:
        """Send `line` and Enter."""
        self.socket.sendall(line.encode() + b"\r\n")

    def until(self, words: bytes, seconds: float = DEADLINE) -> bytes:
        """Read until `words` have been seen; what came up to and including them, and forget it."""
        end = time.monotonic() + seconds
        while words not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"waited in vain for {words!r}, saw {self.seen!r}"
            if select.select([self.socket], [], [], left)[0]:
                data = self.socket.recv(65536)
                assert data, f"the console was closed before {words!r}, saw {self.seen!r}"
                self.seen += data
        at = self.seen.index(words) + len(words)
        found, self.seen = self.seen[:at], self.seen[at:]
        return found

    def until_closed(self, seconds: float = DEADLINE) -> bytes:
        """Read until the server closes the connection; what came."""
        self.socket.settimeout(seconds)
        while data := self.socket.recv(65536):
            self.seen += data
        found, self.seen = self.seen, b""
        return found
