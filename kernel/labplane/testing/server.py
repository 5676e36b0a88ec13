"""A labplane server in a process of its own, and a client for it."""

import fcntl
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

import httpx2

from labplane.testing import host
from labplane_keeper.visiting import end_all, runs

DEADLINE = 20.0
KEPT = 16

_given: deque[tuple[int, int]] = deque()  # ranges of ports, ends excluded

# Ends with the thread that started it (man 2 prctl, PR_SET_PDEATHSIG), so that not even tests that are killed leave it.
PROGRAM = """
import ctypes, signal
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
from labplane.cli import main
main()
"""


def until(look: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Call `look` until its result is true, and return that; fail, naming `what`, after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} seconds in vain for {what}")
        time.sleep(0.01)


def free_range(length: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """A range "A-B" of `length` neighbouring ports, below the ephemeral ones, that no program uses now.

    No other process of this user is given any of them before this one has ended, or has been given `KEPT` more ranges.
    """
    while True:
        first = random.randrange(20100, 31000 - length)  # noqa: S311
        if any(first < end and start < first + length for start, end in _given):
            continue
        with suppress(BlockingIOError):
            fcntl.lockf(_numbers(), fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
            if all(port_is_free(number, kind) for number in range(first, first + length)):
                break
            fcntl.lockf(_numbers(), fcntl.LOCK_UN, length, first)
    _given.append((first, first + length))
    if len(_given) > KEPT:
        start, end = _given.popleft()
        fcntl.lockf(_numbers(), fcntl.LOCK_UN, end - start, start)
    return f"{first}-{first + length - 1}"


@cache
def _numbers() -> int:
    """A file of which processes lock the bytes whose offsets are their ports (man 2 fcntl)."""
    path = Path(tempfile.gettempdir(), f"labplane-ports-{os.getuid()}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def port_is_free(number: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """True when `number` can be bound at every address."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", number))  # noqa: S104 - for an instant, never listened on
        except OSError:
            return False
    return True


class Server:
    """A running ``labplane serve``.

    http:     a client whose base is the server's address.
    projects: the directory in which it keeps projects.
    consoles, udp: the port ranges, as (first, last).
    again:    gives, as `running` does, the server that comes after this one, started in the same way.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        url: str,
        projects: Path,
        consoles: str,
        udp: str,
        log: Path,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self.process = process
        self.url = url
        self.port = int(url.rsplit(":", 1)[1])
        self.projects = projects
        self.consoles = _ends(consoles)
        self.udp = _ends(udp)
        self.http = httpx2.Client(base_url=url, timeout=30.0, trust_env=False, verify=verify)
        self._log = log
        self.again: Callable[..., AbstractContextManager[Self]]

    @classmethod
    @contextmanager
    def running(
        cls,
        projects: Path,
        *options: str,
        consoles: str | None = None,
        udp: str | None = None,
        port: int = 0,
        python: Path | str = sys.executable,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        within: Sequence[str] = (),
        verify: ssl.SSLContext | bool = True,
    ) -> Iterator[Self]:
        """A server that works in `projects` and is ended on leaving.

        options:     further ones for ``labplane serve``.
        consoles, udp: port ranges "A-B"; by default ones that are free now.
        python:      the interpreter whose labplane runs.
        environment: variables on top of this process's.
        within:      a command to run it under.
        verify:      what its TLS certificate is compared with.
        """
        consoles = consoles or free_range(40)
        udp = udp or free_range(40, socket.SOCK_DGRAM)
        command = [*within, str(python), "-c", PROGRAM, "serve", "--port", str(port)]
        command += ["--projects-dir", str(projects), "--console-ports", consoles, "--udp-ports", udp, *options]
        log = projects.parent / f"{projects.name}.{time.monotonic_ns()}.log"
        plain = {key: value for key, value in os.environ.items() if not key.startswith("LABPLANE_")}
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env={**plain, **(environment or {})},
                cwd=cwd,
            )
        try:
            url = until(lambda: _announced(process, log), "the server's address in its log")
            server = cls(process, url, projects, consoles, udp, log, verify)
            more: dict[str, Any] = {
                "consoles": consoles,
                "udp": udp,
                "python": python,
                "environment": environment,
                "cwd": cwd,
            }
            server.again = partial(cls.running, projects, *options, **more, within=within, verify=verify)
            with server.http:
                until(lambda: _answers(server.http), "an answer of the server")
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
            finally:
                end_all(projects.resolve() / host.KEPT_IN, 0.0)

    @property
    def log(self) -> str:
        """The whole log of the server."""
        return self._log.read_text()

    def project(self, **body: Any) -> str:
        """The path of a new project: "/v1/projects/<id>"."""
        reply = self.http.post("/v1/projects", json=body)
        assert reply.status_code == 201, reply.text
        return f"/v1/projects/{reply.json()['project_id']}"

    def children(self) -> list[int]:
        """The pids of the processes that the server has had started, and that are not reaped."""
        keepers = host.keepers(self.projects)
        parents = {self.process.pid, *keepers}
        return [one.pid for one in host.processes() if one.parent in parents and one.pid not in keepers]

    def processes(self) -> dict[int, str]:
        """The names, by pid, of the running processes that belong to the server, daemons included."""
        return {one.pid: one.name for one in host.belonging(self.process.pid, self.projects.resolve())}

    def programs(self) -> set[int]:
        """The pids of the programs that run and that the keeper itself has started; what these start may change."""
        return {run["pid"] for run in runs(self.projects.resolve() / host.KEPT_IN) if run["status"] is None}

    def descriptors(self) -> list[str]:
        """The open descriptors of the server, without HTTP connections, and of its engine."""
        processes = (self.process.pid, *host.engines(self.projects))
        return [one for pid in processes for one in host.descriptors(pid, self.port)]

    def kill(self) -> None:
        """SIGKILL to the server alone; its VMs run on."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM, within: float = DEADLINE) -> int:
        """Signal the server and wait for its end, for that many seconds at most; the returncode."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(within)


running = Server.running


def _ends(ports: str) -> tuple[int, int]:
    first, _, last = ports.partition("-")
    return int(first), int(last)


def _announced(process: subprocess.Popen[bytes], log: Path) -> str | None:
    found = re.search(r" at (https?://\S+?),", log.read_text())
    assert found or process.poll() is None, f"the server ended with {process.returncode}:\n{log.read_text()}"
    return found[1].replace("//0.0.0.0:", "//127.0.0.1:") if found else None


def _answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/v1/version").status_code in (200, 401)  # the latter of one that wants its token
    except httpx2.TransportError:
        return False
