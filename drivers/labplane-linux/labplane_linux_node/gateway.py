"""A way from links to the network of the host: slirp4netns, which answers DHCP and opens connections as a user."""

import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from labplane_linux_node import kernel
from labplane_linux_node.pump import Card

SOCKET = ".labplane-frames"
UP_WITHIN = 10.0
EVERYBODY = b"\xff" * 6
IPV4, UDP, FROM_DHCP = b"\x08\x00\x45", b"\x11", b"\x00\x43\x00\x44"  # with a head of 20 bytes; ports 67 and 68
AT_FLAGS, AT_CLIENT = 42 + 10, 42 + 28  # in a frame: BOOTP begins at 42
WANTS_BROADCAST = 0x80


class Door(Card):
    """The gateway's card."""

    def show_link(self, there: bool) -> None:
        """It has nobody who would look."""

    def read(self) -> bytes:
        """slirp4netns sends DHCP replies to everybody; VPCS heeds those only that are sent to it (RFC 2131, 4.1)."""
        frame = super().read()
        is_reply = frame[:6] == EVERYBODY and frame[12:15] == IPV4 and frame[23:24] == UDP and frame[34:38] == FROM_DHCP
        if is_reply and len(frame) > AT_FLAGS and frame[AT_FLAGS] < WANTS_BROADCAST:
            return frame[AT_CLIENT : AT_CLIENT + 6] + frame[6:]
        return frame


def make(config: Mapping[str, Any]) -> tuple[int, list[Card]]:
    """Start slirp4netns; its pid, and the card at which its frames come and go. Raises Failed.

    It takes frames at a socket (its target "bess"), so that it needs neither a namespace nor a device. What it says
    goes to the terminal.
    """
    with suppress(FileNotFoundError):
        os.unlink(SOCKET)
    cidr = f"--cidr={config['network']}"
    command = [config["program"], "--target-type=bess", cidr, "--disable-host-loopback", "--enable-seccomp", SOCKET]
    pid = os.posix_spawn(command[0], command, os.environ)
    frames = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _connect(frames, pid)
    except BaseException:
        frames.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    os.unlink(SOCKET)
    frames.setblocking(False)
    return pid, [Door(frames.detach())]


def _connect(frames: socket.socket, pid: int) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while True:
        try:
            return frames.connect(SOCKET)
        except (FileNotFoundError, ConnectionRefusedError):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) or time.monotonic() > deadline:
                raise kernel.Failed("slirp4netns did not start; the log of the VM has what it said.") from None
            time.sleep(0.001)
