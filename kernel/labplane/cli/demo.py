"""The sample session, played for a newcomer: two linked PCs, or three on a switch, and a ping."""

import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from labplane.cli.demo_labs import PATIENCE, Api, DemoError, Say, three_pcs_on_a_switch, two_linked_pcs

PROMPT = b"> "
RANGES = ("--console-ports", "5001-5999", "--udp-ports", "20001-21000")


def play(url: str | None, exits: bool, say: Say, *, switch: bool = False) -> int:
    """Play the session at the server `url`, or at one of its own; the exit code, 0 if each ping came back.

    exits:  end then, instead of leaving the lab running until Ctrl-C.
    switch: with three PCs on a switch instead of two that are linked to each other.
    """
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):  # to end in order, as after Ctrl-C
            stack.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
        try:
            api = Api(url.rstrip("/") if url else stack.enter_context(_own_server(say)), say)
            stack.callback(api.close)
            lab = stack.enter_context(three_pcs_on_a_switch(api) if switch else two_linked_pcs(api))
            came_back = _ping_each_other(api.host, lab.consoles, say)
            if lab.switch is not None:
                say("\nWhat passed through the switch:")
                api.call("GET", lab.switch)
        except (DemoError, OSError) as error:
            say(f"\nThe demo cannot go on: {error}")
            return 1
        except KeyboardInterrupt:
            return 1
        say("\nThe PCs see each other: each ping came back." if came_back else "\nA ping did not come back.")
        if came_back and not exits:
            say("\nThe lab keeps running. In another terminal, try:")
            for console in lab.consoles:
                say(f"    telnet {api.host} {console}")
            say("\nCtrl-C ends it.")
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
        return 0 if came_back else 1


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


def _ping_each_other(host: str, consoles: Sequence[int], say: Say) -> bool:
    """Give each PC an address and let it ping those that have one."""
    came_back = True
    for number, console in enumerate(consoles, 1):
        with _console(host, console, say) as type_line:
            type_line(f"ip 192.168.1.{number}")
            for other in range(1, number):
                came_back &= b" ttl=" in type_line(f"ping 192.168.1.{other}")
    return came_back


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
