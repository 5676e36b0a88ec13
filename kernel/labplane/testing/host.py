"""What the host says of a server, past anything that labplane claims: its processes and its descriptors."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

SOCKET = "socket:["
KEPT_IN = ".labplane"  # below the directory of projects


class Process(NamedTuple):
    """A process of the host; state: the letter in /proc/<pid>/stat, "Z" for one that has ended and is not reaped."""

    pid: int
    parent: int
    state: str
    name: str

    @property
    def runs(self) -> bool:
        return self.state not in "ZX"

    def works_in(self, directory: Path) -> bool:
        """Whether `directory` or one below is its working directory."""
        try:
            return Path(os.readlink(f"/proc/{self.pid}/cwd")).is_relative_to(directory)
        except OSError:  # it has ended, or is somebody else's
            return False


def processes() -> Iterator[Process]:
    """Every process of the host."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            head, _, tail = entry.read_text(errors="replace").rpartition(")")
            state, parent, *_ = tail.split()
            yield Process(int(entry.parent.name), int(parent), state, head.partition("(")[2])


def keepers(directory: Path) -> set[int]:
    """The processes that are keepers of the state that a server has in `directory`, or its engine."""
    return engines(directory) | _with_words(b"-IS", os.fsencode(directory.resolve() / KEPT_IN))


def engines(directory: Path) -> set[int]:
    """The process in which the machines run that are no programs, of the server that has its state in `directory`."""
    return _with_words(b"labplane_engine", os.fsencode(directory.resolve() / KEPT_IN / "engine"))


def _with_words(*words: bytes) -> set[int]:
    """The processes whose command lines have these words."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if {*words} <= {*entry.read_bytes().split(b"\0")}:
                found.add(int(entry.parent.name))
    return found


def belonging(server: int, directory: Path) -> list[Process]:
    """The processes that descend from the process `server`, or, as daemons do, only have `directory` as their own.

    Those of its keeper are among them, and the keeper itself is not.
    """
    everybody = list(processes())
    own = {server, *keepers(directory)}
    family = set(own)
    while more := {one.pid for one in everybody if one.parent in family} - family:
        family |= more
    return [
        one for one in everybody if one.pid not in own and one.runs and (one.pid in family or one.works_in(directory))
    ]


def udp_ports(pid: int, *, connected: bool) -> set[int]:
    """The UDP ports that a process has bound; connected: those alone whose sockets have a far end."""
    found = set()
    for table in ("udp", "udp6"):
        with suppress(OSError):  # of a process that has ended
            own = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                columns = line.split()
                has_far_end = not columns[2].endswith(":0000")
                if f"{SOCKET}{columns[9]}]" in own and (has_far_end or not connected):
                    found.add(int(columns[1].rpartition(":")[2], 16))
    return found


def is_confined(pid: int) -> bool:
    """Whether a process and its children can gain no privileges, as is true of all that are confined (man 5 proc)."""
    return "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()


def descriptors(pid: int, http_port: int) -> list[str]:
    """The targets of a process's open descriptors, sockets as "socket", without its connections at `http_port`."""
    http = _sockets_at(pid, http_port)
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            target = os.readlink(entry)
            if not target.startswith(SOCKET):
                found.append(target)
            elif target.removeprefix(SOCKET).rstrip("]") not in http:
                found.append("socket")
    return found


def _sockets_at(pid: int, port: int) -> set[str]:
    """The inodes of the TCP sockets whose own port is `port`."""
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if int(columns[1].rpartition(":")[2], 16) == port:
            found.add(columns[9])
    return found
