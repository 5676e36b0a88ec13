"""The two servers that are compared, each in a process of its own, and what /proc says of such a process."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.client import BenchError

TOP = Path(__file__).resolve().parent.parent
CONSOLES = "12000-13999"
UDP = "14001-19500"
RAW_UDP = 19600
UP_WITHIN = 20.0
MEMORY = Path("/dev/shm")  # what is kept there waits for no disk


@dataclass(frozen=True)
class Server:
    """A running server; began: time.perf_counter() just before it was spawned."""

    pid: int
    port: int
    began: float

    def rss(self) -> float:
        """Resident memory, MiB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def emulators(self) -> list[psutil.Process]:
        """The processes of its VMs, which are children of its keeper."""
        return [one for child in psutil.Process(self.pid).children() for one in child.children()]

    def cpu_seconds(self) -> float:
        """Processor time so far, user and system, of the server without its children."""
        columns = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def labplane(*options: str, consoles: str = CONSOLES, udp: str = UDP) -> Iterator[Server]:
    """A fresh ``labplane serve`` with its defaults but for the ports and `options`, in a temporary directory."""
    with projects() as directory, labplane_in(directory, *options, consoles=consoles, udp=udp) as server:
        yield server


@contextmanager
def labplane_in(directory: str, *options: str, consoles: str = CONSOLES, udp: str = UDP) -> Iterator[Server]:
    """The same in a directory in which another one may have been."""
    command = [sys.executable, "-c", "from labplane.cli import main; main()", "serve", "--port", "0"]
    command += ["--projects-dir", directory + "/projects", "--console-ports", consoles, "--udp-ports", udp, *options]
    with _running(command) as server:
        yield server


@contextmanager
def unguarded() -> Iterator[Server]:
    """The same without its guards, see bench/unguarded.py."""
    with (
        projects() as directory,
        _running([sys.executable, "-m", "bench.unguarded", directory]) as server,
    ):
        yield server


@contextmanager
def floor() -> Iterator[Server]:
    """A fresh bare Starlette, see bench/floor.py."""
    with _running([sys.executable, "-m", "bench.floor"]) as server:
        yield server


@contextmanager
def forwarder(near: tuple[int, int], far: tuple[int, int]) -> Iterator[Server]:
    """A fresh bare forwarder between two UDP links, see bench/forwarder.py; near, far: their ports at both ends."""
    with _running([sys.executable, "-m", "bench.forwarder", *map(str, (*near, *far))]) as server:
        yield server


@contextmanager
def both() -> Iterator[tuple[Server, Server]]:
    """labplane and its floor on one processor."""
    with labplane() as ours, floor() as bare, on_one_processor(ours, bare):
        yield ours, bare


@contextmanager
def on_one_processor(*servers: Server) -> Iterator[None]:
    """Have these on one processor, and whoever asks them on another.

    Only one of them has work at a time. Left to the scheduler, one of the two ends up beside the client and the other
    has a processor to itself, which makes a difference of a factor of two and more.
    """
    processors = os.sched_getaffinity(0)
    if len(processors) > 1:
        os.sched_setaffinity(0, {min(processors)})
        for server in servers:
            os.sched_setaffinity(server.pid, {max(processors)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)


def announce(port: int) -> str:
    """What a server says, in its log, when it listens."""
    return f"listening at http://127.0.0.1:{port}, as was asked"


@contextmanager
def projects() -> Iterator[str]:
    """A directory for them, in memory if possible: what a mkdir costs is told by the age of a disk's file system."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="labplane-bench-", dir=place) as directory:
        yield directory


@contextmanager
def _running(command: Sequence[str]) -> Iterator[Server]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("LABPLANE_")}
    with tempfile.NamedTemporaryFile(prefix="labplane-bench-", suffix=".log") as log:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=TOP, env=plain, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            try:
                yield Server(process.pid, _port(process, Path(log.name)), began)
            finally:
                process.terminate()


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + UP_WITHIN
    while True:
        if found := re.search(r" at http://\S+:(\d+),", log.read_text()):
            return int(found[1])
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"a server did not come up:\n{log.read_text()}")
        time.sleep(0.001)
