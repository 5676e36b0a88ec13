"""The commands `console` and `logs`, at real VPCS and at a real terminal."""

import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from labplane_client import Client
from labplane_labs.commands.looking import Escape
from labs_at import Run
from support import Server, until

LAB = """\
name: two
defaults: {kind: vpcs}
nodes:
  pc1: {startup: "ip 10.0.0.1/24"}
  pc2: {}
  sw: {kind: switch}
links:
  - [pc1, pc2]
"""


@pytest.fixture
def environment(server: Server, tmp_path: Path, run: Run) -> dict[str, str]:
    """With a lab that is up; the variables with which commands find it."""
    (tmp_path / "lab.yaml").write_text(LAB)
    run("up", "--wait")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LABPLANE_")}
    return {**plain, "LABPLANE_URL": server.url}


@pytest.mark.parametrize(
    ("typed", "passed", "leaves"),
    [
        (b"~.", b"", True),
        (b"show\r~.more", b"show\r", True),
        (b"a~.", b"a~.", False),
        (b"~~.", b"~.", False),
        (b"~x", b"~x", False),
        (b"\n~", b"\n", False),
        (b"\r~\r~.", b"\r~\r", True),
    ],
)
def test_a_tilde_and_a_dot_at_the_beginning_of_a_line_leave(typed: bytes, passed: bytes, leaves: bool) -> None:
    """However the keys come in."""
    assert Escape().typed(typed) == (passed, leaves)
    escape, seen, left = Escape(), b"", False
    for key in typed:
        part, left = escape.typed(bytes([key]))
        seen += part
        if left:
            break
    assert (seen, left) == (passed, leaves)


def test_a_console_is_sat_at_and_left_and_the_terminal_is_as_before(environment: dict[str, str]) -> None:
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    try:
        command = [sys.executable, "-m", "labplane", "console", "pc1"]
        with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as sitting:
            seen = b""

            def has(words: bytes) -> bool:
                nonlocal seen
                seen += os.read(keyboard, 65536)
                return words in seen

            until(lambda: has(b"VPCS> "), "the prompt")
            assert not termios.tcgetattr(terminal)[3] & termios.ECHO
            os.write(keyboard, b"show ip\r")
            until(lambda: has(b"10.0.0.1/24"), "the answer")
            os.write(keyboard, b"\r~.")
            assert sitting.wait(20) == 0
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_a_console_that_is_closed_ends_the_sitting(environment: dict[str, str], client: Client) -> None:
    command = [sys.executable, "-m", "labplane", "console", "pc1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as sitting:
        assert sitting.stdout is not None
        seen = b""
        while b"VPCS> " not in seen:
            seen += os.read(sitting.stdout.fileno(), 65536)
        client.close_project(client.projects()[0])
        assert sitting.wait(20) == 1
        assert sitting.stderr is not None
        assert b"The console was closed" in sitting.stderr.read()


@pytest.mark.usefixtures("environment")
def test_logs_are_what_nodes_have_printed(run: Run) -> None:
    run("exec", "pc1", "ping 10.0.0.1 -c 1")
    assert "10.0.0.1 icmp_seq=1 ttl=64" in run("logs", "pc1").stdout
    whole = run("logs").stdout
    assert "pc1: 10.0.0.1 icmp_seq=1 ttl=64" in whole
    assert "pc2: Welcome to Virtual PC Simulator" in whole
    assert "no node 'sw' with a console" in run("logs", "sw", code=1).stderr


def test_logs_are_followed_until_ctrl_c(environment: dict[str, str], run: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "labplane", "logs", "-f"]
    output = tmp_path / "followed"
    with output.open("wb") as out, subprocess.Popen(command, stdout=out, env=environment) as following:
        until(lambda: b"pc2: " in output.read_bytes(), "the scrollback")
        run("exec", "pc1", "ping 10.0.0.1 -c 1")
        until(lambda: b"pc1: 10.0.0.1 icmp_seq=1 ttl=64" in output.read_bytes(), "the line")
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 0
