"""Section 14 of docs/api.md, word for word: default ports, the real curl and the real telnet on a terminal.

The session needs HTTP 8000, consoles 2000 and 2001, UDP 10000 and 10001, so it is played in a network namespace: this
file is then run as a program.
"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from host import taken
from namespaces import run_apart, way_in
from support import DEADLINE, until

BASE = "http://localhost:8000"


def test_the_sample_session_goes_as_documented(tmp_path: Path) -> None:
    """Section 14; also O-4, O-5, V-1, P-1, M-2, U-1, N-1, S-1, T-2, T-5, T-6, C-1, C-2, Q-9, Q-12."""
    if way_in() is None and (busy := busy_ports()):
        pytest.fail(f"network namespaces are not permitted here, and these ports of the sample are taken: {busy}")
    run_apart(__file__, str(tmp_path))


def busy_ports() -> list[int]:
    import socket

    busy = []
    ports = [(socket.SOCK_STREAM, port) for port in (8000, 2000, 2001)]
    for kind, port in ports + [(socket.SOCK_DGRAM, port) for port in (10000, 10001)]:
        try:
            with taken(port, kind):
                pass
        except OSError:
            busy.append(port)
    return busy


def play(directory: Path) -> None:
    """The session itself."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LABPLANE_")}
    environment["XDG_CONFIG_HOME"] = str(directory)
    command = [sys.executable, "-c", "from labplane.cli import main; main()", "serve"]
    server = subprocess.Popen([*command, "--projects-dir", str(directory / "projects")], env=environment)
    try:
        until(lambda: subprocess.run(["curl", "-s", f"{BASE}/v1/version"], capture_output=True).returncode == 0, "HTTP")
        linked_and_started()
        consoles()
        server.send_signal(signal.SIGTERM)
        assert server.wait(DEADLINE) in (0, -signal.SIGTERM)
    finally:
        server.kill()
        server.wait()


def linked_and_started() -> None:
    assert curl("/v1/version")["version"] == "1.3.dev1"

    project = curl("/v1/projects", "{}")
    assert uuid.UUID(project["project_id"])
    assert project["temporary"] is False
    vms = f"/v1/projects/{project['project_id']}/vpcs/vms"

    made = [curl(vms, json.dumps({"name": name})) for name in ("VPCS 1", "VPCS 2")]
    assert [vm["console"] for vm in made] == [2000, 2001]
    assert [vm["name"] for vm in made] == ["VPCS 1", "VPCS 2"]
    assert all(vm["project_id"] == project["project_id"] and uuid.UUID(vm["vm_id"]) for vm in made)

    assert [curl("/v1/ports/udp", "{}") for _ in range(2)] == [{"udp_port": 10000}, {"udp_port": 10001}]

    for vm, lport, rport in ((made[0], 10000, 10001), (made[1], 10001, 10000)):
        nio = {"lport": lport, "rhost": "127.0.0.1", "rport": rport, "type": "nio_udp"}
        assert curl(f"{vms}/{vm['vm_id']}/adapters/0/ports/0/nio", json.dumps(nio)) == nio

    for vm in made:
        assert curl(f"{vms}/{vm['vm_id']}/start", "{}") is None

    refused = curl(vms, json.dumps({"name": "VPCS 3", "console": 2000}))
    assert refused["status"] == 409
    assert refused["message"]


def consoles() -> None:
    with Telnet(2000) as one:
        one.reads("Welcome to Virtual PC Simulator, version ")
        one.reads("Press '?' to get help.")
        one.reads("VPCS> ")
        one.types("ip 192.168.1.1")
        one.reads("Checking for duplicate address...")
        one.reads("VPCS : 192.168.1.1 255.255.255.0")
        one.reads("VPCS> ")
        one.types("disconnect")
        one.reads("Good-bye")
        one.reads("Connection closed by foreign host.")
        assert one.process.wait(DEADLINE) in (0, 1)

    with Telnet(2001) as two:
        two.reads("VPCS> ")
        two.types("ip 192.168.1.2")
        two.reads("VPCS : 192.168.1.2 255.255.255.0")
        two.reads("VPCS> ")
        two.types("ping 192.168.1.1")
        for number in range(1, 6):
            line = two.reads(rf"84 bytes from 192\.168\.1\.1 icmp_seq={number} ttl=64 time=\d+\.\d+ ms", pattern=True)
            assert "timeout" not in line
        two.reads("VPCS> ")

    with Telnet(2000) as again:
        again.reads("VPCS> ")
        again.types("show ip")
        again.reads("192.168.1.1/24")


def curl(path: str, body: str | None = None) -> Any:
    """What the command of the documentation prints, which must be indented by four spaces; None for nothing."""
    command = ["curl", "--silent", "--show-error", "--include", f"{BASE}{path}"]
    printed = subprocess.run([*command, *(["-d", body] if body is not None else [])], capture_output=True, check=True)
    head, _, text = printed.stdout.decode().partition("\r\n\r\n")
    if not text:
        return None
    assert "\r\ncontent-type: application/json\r\n" in head.lower() + "\r\n", head
    value = json.loads(text)
    assert text.rstrip("\n") == json.dumps(value, indent=4, sort_keys=True)
    return value


class Telnet:
    """The telnet client, on a terminal as a user has it."""

    def __init__(self, port: int) -> None:
        self.terminal, inner = pty.openpty()
        self.process = subprocess.Popen(
            ["telnet", "127.0.0.1", str(port)], stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        os.close(inner)
        self.seen = ""

    def __enter__(self) -> "Telnet":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def types(self, line: str) -> None:
        os.write(self.terminal, line.encode() + b"\r")

    def reads(self, words: str, pattern: bool = False) -> str:
        """Wait for `words` on the screen and forget everything up to them; what came before and with them."""
        wanted = re.compile(words if pattern else re.escape(words))
        end = time.monotonic() + DEADLINE
        while not (found := wanted.search(self.seen)):
            assert time.monotonic() < end, f"waited in vain for {words!r}, saw {self.seen!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"telnet ended before {words!r}, saw {self.seen!r}") from None
        shown, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return shown


if __name__ == "__main__":
    play(Path(sys.argv[1]))
