"""The sample session, played for a newcomer: two PCs, a link, a ping."""

import json
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from labplane.client import Client, ClientError

Say = Callable[[str], None]

PATIENCE = 30.0
PROMPT = b"> "
RANGES = ("--console-ports", "5001-5999", "--udp-ports", "20001-21000")


class DemoError(Exception):
    """The session cannot go on; the text says why."""


def play(url: str | None, exits: bool, say: Say) -> int:
    """Play the session at the server `url`, or at one of its own; the exit code, 0 if the ping came back.

    exits: end then, instead of leaving the lab running until Ctrl-C.
    """
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):  # to end in order, as after Ctrl-C
            stack.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
        try:
            api = Api(url.rstrip("/") if url else stack.enter_context(_own_server(say)), say)
            stack.callback(api.close)
            lab = stack.enter_context(_two_linked_pcs(api))
            came_back = _ping(api.host, *lab, say)
        except (DemoError, OSError) as error:
            say(f"\nThe demo cannot go on: {error}")
            return 1
        except KeyboardInterrupt:
            return 1
        say(f"\nThe ping {'came back: the two PCs see each other' if came_back else 'did not come back'}.")
        if came_back and not exits:
            say("\nThe lab keeps running. In another terminal, try:")
            for console in lab:
                say(f"    telnet {api.host} {console}")
            say("\nCtrl-C ends it.")
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
        return 0 if came_back else 1


class Api:
    """Sends requests and says each as a curl line with its reply."""

    def __init__(self, url: str, say: Say) -> None:
        self.url = url
        self._say = say
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self._asked], "response": [self._answered]}
        try:
            http = httpx2.Client(base_url=url, timeout=PATIENCE, trust_env=False, event_hooks=hooks)
        except httpx2.InvalidURL as error:
            raise DemoError(f"{url} is no URL: {error}") from None
        self.host = http.base_url.host or "127.0.0.1"
        self._client = Client(http=http)
        self.close = http.close

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The reply to one request, None when it is empty. Raises DemoError when the server refuses or is not there."""
        try:
            return self._client.call(method, path, body)
        except ClientError as error:
            raise DemoError(error.message) from None

    def _asked(self, request: httpx2.Request) -> None:
        verb = "" if request.method == ("POST" if request.content else "GET") else f"-X {request.method} "
        body = f" -d '{json.dumps(json.loads(request.content))}'" if request.content else ""
        self._say(f"\n$ curl {verb}{request.url}{body}")

    def _answered(self, reply: httpx2.Response) -> None:
        if reply.read():
            self._say(reply.text)


@contextmanager
def _own_server(say: Say) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="labplane-demo-") as directory:
        command = [sys.executable, "-m", "labplane", "serve", "--port", "0", "--projects-dir", directory, *RANGES]
        log = Path(directory) / "server.log"
        with log.open("wb") as output:
            # In a session of its own, so that Ctrl-C reaches the demo alone, which then ends the server in order.
            server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output, start_new_session=True)
        try:
            url = _announced(server, log)
            say(f"A server runs at {url}, with its files in {directory}.")
            yield url
        finally:
            server.terminate()
            server.wait()


def _announced(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        _, found, rest = log.read_text().partition(" at http://")
        if found and "," in rest:
            return f"http://{rest.partition(',')[0]}"
        time.sleep(0.02)
    raise DemoError(f"the server did not start:\n{log.read_text()}")


@contextmanager
def _two_linked_pcs(api: Api) -> Iterator[tuple[int, int]]:
    """The console ports of two started PCs; their project is deleted on leaving."""
    project = f"/v1/projects/{api.call('POST', '/v1/projects', {})['project_id']}"
    try:
        pcs = [api.call("POST", f"{project}/vpcs/vms", {"name": f"VPCS {number}"}) for number in (1, 2)]
        ports = [api.call("POST", "/v1/ports/udp", {})["udp_port"] for _ in pcs]
        paths = [f"{project}/vpcs/vms/{pc['vm_id']}" for pc in pcs]
        for path, lport, rport in zip(paths, ports, reversed(ports), strict=True):
            nio = {"lport": lport, "rhost": "127.0.0.1", "rport": rport, "type": "nio_udp"}
            api.call("POST", f"{path}/adapters/0/ports/0/nio", nio)
        for path in paths:
            api.call("POST", f"{path}/start", {})
        yield pcs[0]["console"], pcs[1]["console"]
    finally:
        with suppress(DemoError):
            api.call("DELETE", project, {})


def _ping(host: str, first: int, second: int, say: Say) -> bool:
    with _console(host, first, say) as type_line:
        type_line("ip 192.168.1.1")
    with _console(host, second, say) as type_line:
        type_line("ip 192.168.1.2")
        return b"icmp_seq=" in type_line("ping 192.168.1.1")


@contextmanager
def _console(host: str, port: int, say: Say) -> Iterator[Callable[[str], bytes]]:
    say(f"\n$ telnet {host} {port}")
    with socket.create_connection((host, port), PATIENCE) as console:
        say(_text(_until_prompt(console)))

        def type_line(line: str) -> bytes:
            console.sendall(line.encode() + b"\r\n")
            seen = _until_prompt(console)
            say(f"VPCS> {_text(seen)}")
            return seen

        yield type_line
        console.sendall(b"disconnect\r\n")
        say("VPCS> disconnect")


def _until_prompt(console: socket.socket) -> bytes:
    """What the console prints until it waits for input again."""
    seen = b""
    deadline = time.monotonic() + PATIENCE
    while not seen.endswith(PROMPT):
        left = deadline - time.monotonic()
        data = console.recv(4096) if left > 0 and select.select([console], [], [], left)[0] else b""
        if not data:
            raise DemoError(f"the console did not come to its prompt; it printed {_text(seen)!r}")
        seen += data
    return seen


def _text(seen: bytes) -> str:
    """Without telnet's commands, which are three bytes each, without carriage returns and the last prompt."""
    while (at := seen.find(b"\xff")) >= 0:
        seen = seen[:at] + seen[at + 3 :]
    return seen.decode(errors="replace").replace("\r", "").removesuffix("VPCS> ").strip("\n")
