"""strace on a running process: what it does at certain system calls, such as being killed or having to wait."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import DEADLINE, until

# Lets every process of this user trace the one that it becomes, where Linux permits that to parents alone (Yama).
TRACEABLE = (
    sys.executable,
    "-c",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])",
)


@contextmanager
def traced(pid: int, *injections: str, paths: Sequence[Path] = (), log: Path | None = None) -> Iterator[None]:
    """Inject into the process meanwhile; all its threads are traced when the block begins.

    injections: as in ``strace -e inject=``: "pwrite64:signal=KILL:when=3".
    paths:      only into calls about these files, if there are any.
    """
    calls = ",".join(one.partition(":")[0] for one in injections)
    command = ["strace", "-f", "-q", "-o", str(log or "/dev/null"), "-e", f"trace={calls}"]
    command += [word for path in paths for word in ("-P", str(path))]
    command += [word for one in injections for word in ("-e", f"inject={one}")]
    with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True) as strace:
        try:
            until(lambda: strace.poll() is not None or is_traced(pid), "strace to be attached")
            if strace.poll() is not None:
                assert strace.stderr is not None
                pytest.fail(f"strace cannot be used here: {strace.stderr.read()}")
            yield
        finally:
            strace.terminate()
            try:
                strace.wait(DEADLINE)
            except subprocess.TimeoutExpired:  # it waits for ever for a process that was killed while it let go of it
                strace.kill()


def is_traced(pid: int) -> bool:
    """Whether each thread of the process has a tracer."""
    try:
        statuses = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return all("TracerPid:\t0\n" not in status for status in statuses)
