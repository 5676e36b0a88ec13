"""Asking a keeper from a program that has no event loop, and ending what one that was killed has left."""

import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from labplane_keeper import OLDEST, PROTOCOL, VERSION, groups
from labplane_keeper.clients import HEAD
from labplane_keeper.leftovers import kill, marked

TIMEOUT = 30.0
ROUNDS = 20
STARTED = "started"  # the file that names the processes that run, for whoever finds no keeper

Path = str | os.PathLike[str]


def connect(directory: Path) -> socket.socket:
    """A connection to the program whose socket is in `directory`.

    Raises FileNotFoundError or ConnectionRefusedError when there is none, PermissionError when the directory is not
    closed to others.
    """
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(at)
        if status.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, f"It is of the user {status.st_uid}; ask as that user", str(directory))
        if status.st_mode & 0o077:
            raise PermissionError(errno.EPERM, "It is not closed to others; its mode has to be 0700", str(directory))
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.settimeout(TIMEOUT)  # for one that hangs, with a full backlog
            end.connect(f"/proc/self/fd/{at}/socket")  # however long the directory's own path is
        except BaseException:
            end.close()
            raise
        return end
    finally:
        os.close(at)


class Visitor:
    """A conversation with a keeper, one request at a time."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(TIMEOUT)
        self._stream = end.makefile("rwb")
        self._send({"hello": "visitor", "protocol": PROTOCOL, "oldest": OLDEST, "version": VERSION})
        self.hello = self._receive()

    def ask(self, op: str, **members: Any) -> dict[str, Any]:
        """The reply to a request. Raises OSError."""
        self._send({"op": op, "seq": 1, **members})
        while "reply" not in (reply := self._receive()):
            pass
        if (error := reply.get("error")) is not None:
            raise OSError(error["errno"], error["text"])
        return reply

    def until_gone(self) -> None:
        """Wait until the keeper has ended."""
        with suppress(ConnectionError):
            while True:
                self._receive()

    def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message).encode()
        self._stream.write(HEAD.pack(len(text), 0) + text)
        self._stream.flush()

    def _receive(self) -> dict[str, Any]:
        head = self._stream.read(HEAD.size)
        if len(head) < HEAD.size:
            raise ConnectionResetError("The keeper has hung up.")
        text, data = HEAD.unpack(head)
        message: dict[str, Any] = json.loads(self._stream.read(text))
        self._stream.read(data)
        return message


@contextmanager
def visiting(directory: Path) -> Iterator[Visitor]:
    """A conversation with the keeper of `directory`. Raises OSError when there is none, see `connect`."""
    with connect(directory) as end:
        yield Visitor(end)


def runs(directory: Path) -> list[dict[str, Any]]:
    """What the keeper of `directory` knows: each run as docs/keeper.md has it. Empty when there is no keeper.

    What one that was killed has left has only pid and started, and generation 0.
    """
    try:
        with visiting(directory) as keeper:
            found: list[dict[str, Any]] = keeper.ask("list")["runs"]
            return found
    except (FileNotFoundError, ConnectionError):
        left = [(pid, started) for pid, started in _recorded(directory)[0] if start_time(pid) == started and _runs(pid)]
        names = {"id": "", "generation": 0, "status": None, "begin": 0, "end": 0, "note": None}
        return [{**names, "pid": pid, "started": started} for pid, started in left]


def end_all(directory: Path, patience: float = 3.0) -> list[dict[str, Any]]:
    """End all that was ever started for `directory`, the keeper too, and nothing else; what ran.

    The lock that each keeper holds says that none is just beginning. Raises OSError.
    """
    found = [run for run in runs(directory) if run["status"] is None]
    with suppress(FileNotFoundError, ConnectionError), visiting(directory) as keeper:
        keeper.ask("quit", patience=patience)
        keeper.until_gone()
    with suppress(FileNotFoundError, BlockingIOError):
        lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end_left(directory)
            os.unlink(os.path.join(directory, STARTED))
        finally:
            os.close(lock)
    return found


def end_left(directory: Path) -> None:
    """Kill what a keeper that was killed has left: programs that heed neither SIGHUP nor the end of their terminal,
    and all that they have started.

    To be called by who has the lock.
    """
    runs, marks, top = _recorded(directory)
    for pid, started in runs:
        kill_group(pid, started)
    groups.end(top)
    for _ in range(ROUNDS if marks else 0):  # until none of them has been started while one looked
        if not (left := marked(marks)):
            break
        kill(left)


def kill_group(pid: int, started: int) -> None:
    """SIGKILL to the process group of `pid`, if that is still the process that was started at that time."""
    if pid > 0 and start_time(pid) == started:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def start_time(pid: int) -> int | None:
    """When the process `pid` was started, in clock ticks since boot; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in b"ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def boot_id() -> str:
    """The id of this boot of the system."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _recorded(directory: Path) -> tuple[list[tuple[int, int]], list[str], str]:
    """The pid and start time, and the mark, of each run that went on when the keeper last wrote it, in this boot.

    With the cgroup in which all of them are, or nothing.
    """
    try:
        with open(os.path.join(directory, STARTED)) as file:
            record = json.load(file)
        if record["boot"] != boot_id():
            return [], [], ""
        runs = [(int(pid), int(started)) for pid, started in record["runs"]]
        return runs, record.get("marks", []), str(record.get("top", ""))
    except (OSError, ValueError, KeyError, TypeError):
        return [], [], ""
