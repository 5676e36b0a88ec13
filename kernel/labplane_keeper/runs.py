"""Runs: programs on ptys, or what is remembered of those that have ended; their logs."""

import binascii
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from labplane_keeper.leftovers import mark

if TYPE_CHECKING:
    from labplane_keeper.clients import Client

READ = 64 * 1024
MOST_INPUT = 64 * 1024
SMALLEST_RING, LARGEST_RING = 4096, 1024 * 1024
PLAIN = ("id", "generation", "size", "note", "pid", "started", "status", "master", "end")
SINCE_4 = ("group", "cgroup", "out_of_memory")


class Log:
    """The file `name` in a directory: emptied at first; at half of `limit` it is renamed to ``name.1`` and begun anew.

    directory: descriptor of the directory, which is closed with the log. Raises OSError, as `write` does.
    """

    def __init__(self, directory: int, name: str, limit: int, file: int | None = None, size: int = 0) -> None:
        self.directory, self.name, self.limit, self.size = directory, name, limit, size
        self.file = self._emptied() if file is None else file

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.limit // 2:
            os.replace(self.name, self.name + ".1", src_dir_fd=self.directory, dst_dir_fd=self.directory)
            fresh = self._emptied()
            os.close(self.file)
            self.file, self.size = fresh, len(data)
        os.write(self.file, data)

    def close(self) -> None:
        os.close(self.file)
        os.close(self.directory)

    def _emptied(self) -> int:
        """A link is removed: the emulator may have made it, to a file of the server."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK  # the last for a pipe that it may have made
        with suppress(OSError):
            os.readlink(self.name, dir_fd=self.directory)
            os.unlink(self.name, dir_fd=self.directory)
        return os.open(self.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=self.directory)


class Run:
    """One run.

    id, generation, note: as its client gave them.
    size:    how many bytes of its output are remembered.
    pid:     None until it is started; `started` in clock ticks since boot, as /proc/<pid>/stat has it.
    status:  None while it runs, then as in subprocess.
    master:  descriptor of its pty, None when it has ended.
    ring:    what is remembered of its output; end: how much was printed in all.
    readers: the clients that read it.
    watched: the events of `master` that are waited for.
    group:   of which it is, see `groups.Groups`; cgroup: the one in which its processes are; empty for none.
    out_of_memory: the limit in bytes for which it was ended, 0 when it was the system's; else None.
    """

    def __init__(self, id: str, generation: int, size: int, note: Any) -> None:  # noqa: A002 - as in the protocol
        self.id, self.generation, self.note = id, generation, note
        self.size = min(max(int(size), SMALLEST_RING), LARGEST_RING)
        self.pid = self.started = 0
        self.status: int | None = None
        self.master = -1
        self.log: Log | None = None
        self.ring, self.end, self.input = bytearray(), 0, bytearray()
        self.readers: set[Client] = set()
        self.watched = 0
        self.group: dict[str, Any] = {}
        self.cgroup = ""
        self.out_of_memory: int | None = None

    @property
    def begin(self) -> int:
        """The offset of the oldest byte that is remembered."""
        return self.end - len(self.ring)

    @property
    def lag(self) -> int:
        """How much of its output its slowest reader has not been sent."""
        return self.end - min((reader.sent[self] for reader in self.readers), default=self.end)

    def shown(self) -> dict[str, Any]:
        names = ("id", "generation", "pid", "started", "status", "begin", "end", "note", "out_of_memory")
        return {name: getattr(self, name) for name in names}

    @property
    def mark(self) -> str:
        """By which what it has started is known."""
        return mark(self.id, self.generation)

    def drain(self) -> bytes | None:
        """Take what the program has printed: None when there is nothing now, nothing when there will be nothing."""
        try:
            data = os.read(self.master, min(READ, max(self.size - self.lag, self.size // 2)))
        except BlockingIOError:
            return None
        except OSError:  # EIO: no process has the terminal open any more
            return b""
        self.keep(data)
        return data

    def keep(self, data: bytes) -> None:
        """Remember what it has printed."""
        self.ring += data
        self.end += len(data)
        if len(self.ring) > self.size:
            del self.ring[: len(self.ring) - self.size]
        for reader in self.readers:
            reader.behind[self] = None

    def type(self, data: bytes = b"") -> None:
        """Type `data`; what the program does not take now waits, 64 KiB at most."""
        self.input += data[: max(0, MOST_INPUT - len(self.input))]
        try:
            del self.input[: os.write(self.master, self.input)]
        except BlockingIOError:
            pass
        except OSError:
            self.input.clear()

    def signal(self, number: int) -> None:
        """Signal its process group. Its number is its own until it is reaped."""
        if self.status is None and self.pid:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def ended(self, status: int) -> None:
        """Take note of its end, with a status as in subprocess."""
        self.status = status
        for reader in self.readers:
            reader.behind[self] = None

    def close(self) -> None:
        os.close(self.master)
        self.master = -1
        self.input.clear()
        self.close_log()

    def close_log(self) -> None:
        if self.log is not None:
            self.log.close()
            self.log = None

    @property
    def descriptors(self) -> list[int]:
        log = [] if self.log is None else [self.log.file, self.log.directory]
        return log if self.master < 0 else [self.master, *log]

    def saved(self) -> dict[str, Any]:
        """Everything, for `restored`, in JSON types."""
        log = self.log and [self.log.directory, self.log.name, self.log.limit, self.log.file, self.log.size]
        texts = {name: binascii.b2a_base64(getattr(self, name)).decode() for name in ("ring", "input")}
        return {name: getattr(self, name) for name in (*PLAIN, *SINCE_4)} | texts | {"log": log}


def restored(state: dict[str, Any]) -> Run:
    """The run that was `saved`. Raises KeyError, TypeError or ValueError for what is none."""
    run = Run(state["id"], state["generation"], state["size"], state["note"])
    for name in PLAIN:
        setattr(run, name, state[name])
    for name in SINCE_4:
        setattr(run, name, state.get(name, getattr(run, name)))
    run.ring += binascii.a2b_base64(state["ring"])
    run.input += binascii.a2b_base64(state["input"])
    if state["log"] is not None:
        run.log = Log(*state["log"])
    return run
