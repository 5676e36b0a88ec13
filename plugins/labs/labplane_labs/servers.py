"""The server that commands talk to: the one that answers, or one that is started in the background."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import platformdirs

from labplane_client import Client

PATIENCE = 30.0


class Temporary(NamedTuple):
    url: str
    directory: str


class NoServer(Exception):
    """No server answers and none could be started; the text says why and what to do."""


def usual() -> str:
    """Where `labplane serve` listens on this host unless it is told otherwise."""
    return f"http://127.0.0.1:{os.environ.get('LABPLANE_PORT', '8000')}"


def answers(url: str) -> bool:
    """Whether something that speaks HTTP answers there, be it with a refusal."""
    try:
        with Client(url) as client:
            client.http.get("/v1/version", timeout=5)
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False
    return True


def ensure(url: str | None) -> tuple[str, bool]:
    """The URL of a server that answers, and whether it was started for that. Raises NoServer.

    url: None for the usual one on this host, which is started in the background when it does not run.
    """
    at = url or usual()
    if answers(at):
        return at, False
    if url is not None:
        raise NoServer(f"{url} does not answer. Start it there, or leave --url out for a server on this host.")
    _start(at)
    return at, True


@contextlib.contextmanager
def temporary() -> Iterator[Temporary]:
    """A server of its own, with files and ports of its own, which ends with the block. Raises NoServer."""
    with tempfile.TemporaryDirectory(prefix="labplane-") as directory:
        command = [
            sys.executable,
            "-m",
            "labplane",
            "serve",
            *("--host", "127.0.0.1", "--port", "0", "--auth", "off", "--on-exit", "end"),
            *("--projects-dir", directory),
            *_ranges(),
        ]
        log = Path(directory) / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output, start_new_session=True)
        try:
            yield Temporary(_await(server, None, log), directory)
        finally:
            server.terminate()
            server.wait()


def _ranges() -> tuple[str, ...]:
    """Ranges of ports, other ones each time, so that servers side by side seldom get into each other's way."""
    turn = secrets.randbelow(18)
    consoles, udp = 5001 + 200 * turn, 20001 + 500 * turn
    return "--console-ports", f"{consoles}-{consoles + 199}", "--udp-ports", f"{udp}-{udp + 499}"


def stop_background() -> bool:
    """End the server that `ensure` has started, if it still runs; whether it did."""
    import psutil

    try:
        noted = json.loads(_note().read_text())
        server = psutil.Process(noted["pid"])
        if abs(server.create_time() - noted["created"]) > 1:
            return False
        server.terminate()
        server.wait(PATIENCE)
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
    finally:
        with contextlib.suppress(OSError):
            _note().unlink()
    return True


def log_file() -> Path:
    """The log of the server that `ensure` starts."""
    return platformdirs.user_state_path("labplane") / "server.log"


def _note() -> Path:
    return platformdirs.user_state_path("labplane") / "server.json"


def _start(url: str) -> None:
    import psutil

    log = log_file()
    log.parent.mkdir(parents=True, exist_ok=True)
    port = httpx2.URL(url).port
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "labplane", "serve", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=Path.home() if Path.home().is_dir() else os.sep,
        )
    _await(server, url, log)
    if server.poll() is None:  # else another command has started one at the same time, and noted it
        created = psutil.Process(server.pid).create_time()
        _note().write_text(json.dumps({"pid": server.pid, "created": created, "url": url}))


def _await(server: subprocess.Popen[bytes], url: str | None, log: Path) -> str:
    """Where the server that was started answers. Raises NoServer, and the server has ended then.

    url: where it is to listen; None for what the system gives it. When another one is quicker, it is as good.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        at = _listens(server.pid)
        if at is not None and answers(url or at):
            return url or at
        ended = server.poll() is not None
        if ended and url is not None and answers(url):
            return url
        if ended or time.monotonic() > deadline:
            server.terminate()
            server.wait()
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise NoServer(f"The server did not start: {' '.join(last) or 'it said nothing'} (its log is {log}).")
        time.sleep(0.02)


def _listens(pid: int) -> str | None:
    """The URL of the first socket at which a process listens; nobody else can have that one."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for one in psutil.Process(pid).net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN:
                host, port = one.laddr
                return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return None
