"""Real VPCS programs on terminals: which there are here, started, typed at, ended."""

import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

TREE = Path(__file__).parents[2]
NEWER = Path(os.environ.get("LABPLANE_VPCS_NEWER", TREE / ".venv" / "vpcs-0.8.3"))
PATIENCE = 30.0
AT_PROMPT = re.compile(rb"\r[^\r\n]{1,20}> $")


def installed() -> list[str] | None:
    """The command of the vpcs on the PATH."""
    found = shutil.which("vpcs")
    return None if found is None else [found]


def newer() -> list[str] | None:
    """The command of VPCS 0.8.3 with the C library that it needs, where ``./run tests`` could fetch both."""
    loader = next(NEWER.glob("usr/lib/*/ld-linux-*.so.*"), None)
    program = NEWER / "usr" / "bin" / "vpcs"
    if loader is None or not program.exists():
        return None
    return [str(loader), "--library-path", str(loader.parent), str(program)]


def version_of(command: Sequence[str]) -> str:
    """What it says that it is."""
    said = subprocess.run([*command, "-v"], capture_output=True, text=True, check=False, timeout=PATIENCE).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else ""


def two_ports() -> tuple[int, int]:
    """Two UDP ports that are free on loopback."""
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        for end in (one, two):
            end.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


class RealPC:
    """A VPCS at its prompt, linked from UDP `lport` to `rport` on loopback. banner: what it printed first."""

    def __init__(self, command: Sequence[str], number: int, lport: int, rport: int, directory: Path) -> None:
        ours, its = pty.openpty()
        self._terminal = ours
        relay = ["-R"] if version_of(command).startswith("0.8") else []
        arguments = ["-m", str(number), "-i", "1", *relay, "-s", str(lport), "-c", str(rport), "-t", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, *arguments], stdin=its, stdout=its, stderr=its, cwd=directory, start_new_session=True
        )
        os.close(its)
        self.banner = self.read()

    def __enter__(self) -> "RealPC":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._terminal)

    def type(self, line: str | bytes) -> bytes:
        """Type a line and return what is printed until the next prompt."""
        os.write(self._terminal, line.encode() + b"\r" if isinstance(line, str) else line)
        return self.read()

    def read(self) -> bytes:
        """What is printed until it waits at its prompt."""
        output, deadline = b"", time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if select.select([self._terminal], [], [], 0.05)[0]:
                try:
                    output += os.read(self._terminal, 65536)
                except OSError:
                    break
            elif AT_PROMPT.search(output):
                return output
        raise AssertionError(f"no prompt after {output!r}")
