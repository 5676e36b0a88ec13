"""The floor of a start: VPCS spawned on a terminal of its own, with labplane's command line and nothing around it."""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.client import BenchError
from bench.servers import RAW_UDP
from labplane_vpcs.sockets import has_udp_port

UP_WITHIN = 20.0
STRIDE = 9  # before 0.8 a VPCS takes lport + 9 for a relay, a moment after its lport


def program() -> str:
    """The path of vpcs. Raises BenchError when there is none."""
    found = shutil.which("vpcs")
    if found is None:
        raise BenchError("vpcs is not on the PATH; install it to measure starts")
    return found


def vpcs_version() -> str:
    banner = subprocess.run([program(), "-v"], stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout
    found = re.search(rb"version ([0-9a-z.]+)", banner)
    return found[1].decode() if found else "unknown"


def lports(count: int) -> list[int]:
    """UDP ports such that no relay socket of one VPCS takes the port of another."""
    return [RAW_UDP + index // STRIDE * 2 * STRIDE + index % STRIDE for index in range(count)]


def start(count: int) -> float:
    """The seconds until `count` VPCS, spawned one after the other, all have their UDP sockets bound."""
    with started(count) as (took, _):
        return took


@contextmanager
def started(count: int) -> Iterator[tuple[float, list[int]]]:
    """The seconds, as `start` says them, and the pids of the `count` VPCS, which end on leaving."""
    path, ports = program(), lports(count)
    if taken := [port for port in ports if not udp_free(port)]:
        raise BenchError(f"the UDP port {taken[0]}, which is needed for a raw vpcs, is in use")
    with _ended() as running:
        begin = time.perf_counter()
        for port in ports:
            running.append(_spawn(path, port))
        for (pid, _), port in zip(running, ports, strict=True):
            while not has_udp_port(pid, port):
                if time.perf_counter() - begin > UP_WITHIN:
                    raise BenchError(f"a raw vpcs did not bind UDP {port}")
                if count > 1:
                    time.sleep(0.0005)  # leave the processor to those that are on their way
        yield time.perf_counter() - begin, [pid for pid, _ in running]


def udp_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def _spawn(path: str, lport: int) -> tuple[int, int]:
    master, slave = pty.openpty()
    command = [path, "-m", "0", "-i", "1", "-s", str(lport), "-c", str(lport), "-t", "127.0.0.1"]
    opened = [(os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0)]
    copied = [(os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
    pid = os.posix_spawn(path, command, {"TERM": "vt100"}, setsid=True, file_actions=[*opened, *copied])
    os.close(slave)
    return pid, master


@contextmanager
def _ended() -> Iterator[list[tuple[int, int]]]:
    """A list of (pid, terminal) whose processes are ended, all at once, on leaving."""
    running: list[tuple[int, int]] = []
    try:
        yield running
    finally:
        for pid, _ in running:
            os.kill(pid, signal.SIGKILL)
        for pid, master in running:
            os.waitpid(pid, 0)
            os.close(master)
