"""What the host says about processes and ports, past anything that labplane claims."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import until

SOCKET = "socket:["


def runs(pid: int) -> bool:
    """True when the process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def suspend(pid: int) -> None:
    """SIGSTOP, and wait until all threads have stopped: from then on nothing but SIGKILL and SIGCONT reaches them."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: set(_states(pid)) == {"T"}, f"the process {pid} to be suspended")


def timer_slack(thread: int) -> int | None:
    """Nanoseconds; None when one may not know, as without CAP_SYS_NICE."""
    try:
        return int(Path(f"/proc/{thread}/timerslack_ns").read_text())
    except PermissionError:
        return None


def udp_ports_of(pid: int) -> set[int]:
    """The UDP ports that the process itself has bound."""
    return _ports_of(pid, "udp", "07")


def tcp_listeners_of(pid: int) -> set[int]:
    """The TCP ports that the process itself listens on."""
    return _ports_of(pid, "tcp", "0A")


def tcp_listeners() -> set[tuple[str, int]]:
    """Address and port of every IPv4 listener of the host."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == "0A":
            address, _, port = columns[1].partition(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found


def command_line(pid: int) -> list[str]:
    """The argument list of the process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def _states(pid: int) -> list[str]:
    texts = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [text[text.rindex(")") + 2] for text in texts]


@contextmanager
def taken(number: int, kind: socket.SocketKind = socket.SOCK_STREAM, address: str = "0.0.0.0") -> Iterator[None]:
    """A stranger's socket at that port meanwhile."""
    with socket.socket(socket.AF_INET, kind) as stranger:
        stranger.bind((address, number))
        if kind == socket.SOCK_STREAM:
            stranger.listen()
        yield


def _ports_of(pid: int, protocol: str, state: str) -> set[int]:
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith(SOCKET):
            inodes.add(target.removeprefix(SOCKET).rstrip("]"))
    ports = set()
    for line in Path(f"/proc/{pid}/net/{protocol}").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == state and columns[9] in inodes:
            ports.add(int(columns[1].rpartition(":")[2], 16))
    return ports
