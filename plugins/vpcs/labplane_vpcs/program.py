"""The vpcs program of this host, and what its version can do (S-1, Q-1)."""

import asyncio
import os
import re
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from labplane import Unavailable, find_program

ADVICE = "Install VPCS (apt-get install vpcs) or set program in [plugins.vpcs] of labplane.toml."
OLDEST = Version("0.5b1")
PATIENCE = 5.0
LONGEST = 16 * 1024


@dataclass(frozen=True)
class Program:
    """A usable vpcs."""

    path: Path
    version: Version

    @property
    def has_relay_switch(self) -> bool:
        """Whether it knows -R, which turns the relay socket off (Q-2)."""
        return self.version >= Version("0.8b1")

    @property
    def runs_commands(self) -> bool:
        """Whether its ``!`` runs a command on the host (Q-10)."""
        return self.version < Version("0.8.2")


class Programs:
    """The vpcs programs that were found, so that each file is asked for its version once, until it changes (B-21)."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int, int], Program] = {}
        self._asking = asyncio.Lock()

    async def find(self, name: str) -> Program:
        """The program of that name or path. Raises Unavailable when it is missing, broken or too old."""
        path = find_program(name, ADVICE)
        stat = path.stat()
        key = (path, stat.st_mtime_ns, stat.st_size)
        if key not in self._known:
            async with self._asking:
                if key not in self._known:
                    self._known[key] = Program(path, await _version(path))
        return self._known[key]


async def _version(path: Path) -> Version:
    text = await asyncio.to_thread(_banner, path)
    found = re.search(r"version ([0-9a-z.]+)", text)
    try:
        version = Version(found[1].rstrip(".")) if found else None
    except InvalidVersion:
        version = None
    if version is None:
        raise Unavailable(f"{path} does not say which version of VPCS it is. {ADVICE}")
    if version < OLDEST:
        raise Unavailable(f"{path} is VPCS {version}; labplane needs {OLDEST} or later. {ADVICE}")
    return version


def _banner(path: Path) -> str:
    """What ``-v`` prints, at most `LONGEST` bytes of it; then the program and whatever it started are ended."""
    output = b""
    deadline = time.monotonic() + PATIENCE
    try:
        process = subprocess.Popen(
            [path, "-v"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"{path} cannot be executed: {error.strerror}. {ADVICE}") from None
    with process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        pipe = process.stdout.fileno()
        poll = select.poll()  # unlike select.select it takes descriptors beyond 1023
        poll.register(pipe, select.POLLIN)
        try:
            while len(output) < LONGEST:
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    raise Unavailable(f"{path} -v did not answer within {PATIENCE:g} seconds. {ADVICE}")
                piece = os.read(pipe, LONGEST - len(output))
                if not piece:
                    break
                output += piece
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its number is still its own: nobody has waited for it
    return output.decode(errors="replace")
