"""``labplane demo``, as a newcomer runs it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from labplane_labs.commands import demo
from support import DEADLINE, Server, running, until

COMMAND = [sys.executable, "-m", "labplane", "demo"]


class Visit(NamedTuple):
    """A server, and two demos that play at it while other tests go on; most of a demo is waiting."""

    server: Server
    linked: subprocess.Popen[str]
    switched: subprocess.Popen[str]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    with running(tmp_path_factory.mktemp("visit") / "projects") as server, ExitStack() as stack:
        playing = []
        for options in ([], ["--switch"]):
            command = [*COMMAND, "--exit", "--url", f"{server.url}/", *options]
            demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            playing.append(stack.enter_context(demo))
            stack.callback(demo.kill)
        yield Visit(server, *playing)


@pytest.mark.usefixtures("visit")
def test_the_demo_ends_with_a_ping_and_leaves_nothing() -> None:
    played = subprocess.run([*COMMAND, "--exit"], capture_output=True, text=True, timeout=120, check=False)
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stdout.count("icmp_seq=") == 5
    assert "$ curl http://127.0.0.1:" in played.stdout
    assert "built in: no other program runs them" in played.stdout
    assert '"console": ' in played.stdout
    assert re.search(r"\$ telnet 127\.0\.0\.1 \d+", played.stdout)
    directory = re.search(r"with its files in (\S+)\.\n", played.stdout)
    assert directory
    assert not Path(directory[1]).exists()


def test_the_demo_plays_at_a_running_server_and_takes_its_project_away(visit: Visit) -> None:
    outputs = []
    for playing in (visit.linked, visit.switched):
        output, _ = playing.communicate(timeout=120)
        assert playing.returncode == 0, output
        outputs.append(output)
    assert any(f"$ telnet 127.0.0.1 {visit.server.consoles[0]}" in output for output in outputs)
    assert visit.server.http.get("/v1/projects").json() == []
    assert visit.server.children() == []

    _, switched = outputs
    assert len(re.findall(r"^84 bytes from 192\.168\.1\.[123] icmp_seq=1 ttl=64", switched, re.MULTILINE)) == 3
    assert '"mac_table_size": 3' in switched


def test_without_a_switch_the_demo_says_what_to_install() -> None:
    environment = {**os.environ, "LABPLANE_DISABLED": "switch"}
    command = [*COMMAND, "--switch", "--exit"]
    played = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert played.returncode == 1
    assert "pip install ./drivers/labplane-switch" in played.stdout.splitlines()[-1]
    assert "curl" not in played.stdout


def test_the_demo_keeps_the_lab_until_ctrl_c(tmp_path: Path) -> None:
    output = tmp_path / "output"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets jobs in the background ignore it
    with output.open("wb") as stdout:
        playing = subprocess.Popen([*COMMAND], stdout=stdout, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    signal.signal(signal.SIGINT, before)
    try:
        until(lambda: "Ctrl-C ends it." in output.read_text(), "the end of the demo", 60)
        console = re.findall(r"    telnet 127\.0\.0\.1 (\d+)", output.read_text())[0]
        with socket.create_connection(("127.0.0.1", int(console)), DEADLINE):
            pass
        playing.send_signal(signal.SIGINT)
        assert playing.wait(DEADLINE) == 0
    finally:
        playing.kill()
        playing.wait()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(console))) != 0


def test_the_demo_needs_no_program_of_the_host() -> None:
    environment = {**os.environ, "PATH": "/nonexistent"}
    played = subprocess.run(
        [*COMMAND, "--exit"], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert "84 bytes from 192.168.1.1 icmp_seq=5 ttl=64" in played.stdout


def test_without_a_server_the_demo_says_so() -> None:
    said: list[str] = []
    assert demo.play("http://127.0.0.1:1", True, said.append) == 1
    assert "does not answer" in said[-1]
