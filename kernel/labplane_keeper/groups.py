"""Cgroups of version 2, where the keeper may make some: each run is in one of its own, and groups of runs have limits.

    BASE                            handed to the keeper: by systemd (Delegate=), or a container's whole tree
    BASE/labplane-own               the keeper and the server, for Linux wants no process where limits are handed down
    BASE/labplane-HASH              all that the keeper of one directory runs
    BASE/labplane-HASH/run-NAME     a group, the runs of one VM, with its limits
    BASE/labplane-HASH/run-NAME/ID  the processes of one run

Facts: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import errno
import os
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labplane_keeper.runs import Run

CONTROLLERS = ("memory", "cpu", "pids")
LIMITS = {"memory": "memory", "processors": "cpu", "processes": "pids"}
OWN = "labplane-own"
PERIOD = 100_000  # µs
SECONDS = 10.0  # that it takes at most until what is killed is gone
SYSTEMD = "/run/systemd/system"


class Groups:
    """The cgroups of one keeper.

    top:         the one below which they are; empty when there can be none, for the reason in the sentence `why`.
    controllers: those of `CONTROLLERS` that limit there.
    """

    def __init__(self, directory: str) -> None:
        self.name = f"labplane-{zlib.crc32(os.fsencode(os.path.realpath(directory))):08x}"
        self.top = self.why = ""
        self.controllers: list[str] = []

    def begin(self, server: int) -> None:
        """Take the cgroup of this process, unless that was tried before. server: the process that asks."""
        if self.top or self.why:
            return
        try:
            base, self.controllers = _taken(server)
            top = f"{base}/{self.name}"
            end(top)
            os.mkdir(top)
            _write(f"{top}/cgroup.subtree_control", " ".join(f"+{one}" for one in self.controllers))
            self.top = top
        except OSError as error:
            self.why = error.strerror or str(error)
            if error.filename:
                self.why = f"{error.filename}: {self.why}"

    def shown(self) -> dict[str, Any]:
        """All of it, for requests, and for `restore` of the keeper that goes on in the place of this one."""
        return {"top": self.top, "controllers": self.controllers, "reason": self.why}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what was `shown`."""
        self.top, self.controllers, self.why = state["top"], state["controllers"], state["reason"]

    def place(self, run: "Run", group: Mapping[str, Any] | None) -> None:
        """Make a cgroup for `run` in that group, which is made with its limits when it is not there. Raises OSError.

        There is room for one process more, the one that starts the program, until that has ended.
        """
        if not group or not self.top:
            return
        path = f"{self.top}/run-{_plain(str(group['name']))}"
        with suppress(FileExistsError):
            os.mkdir(path)
        run.group, run.cgroup = dict(group), f"{path}/{_plain(run.mark)}"
        try:
            self._limit(run, 1)
            os.mkdir(run.cgroup)
        except BaseException:
            self.leave(run)
            raise

    def started(self, run: "Run") -> None:
        """Take back the room for the process that has started it."""
        with suppress(OSError):
            self._limit(run, 0)

    def _limit(self, run: "Run", more: int) -> None:
        for file, value in limits(run.group, self.controllers, more) if run.cgroup else ():
            _write(f"{os.path.dirname(run.cgroup)}/{file}", value)

    def leave(self, run: "Run") -> None:
        """Remove the cgroup of a run that has ended, and its group with the last of it; note why it has."""
        if run.cgroup:
            run.out_of_memory = out_of_memory(run.group, run.cgroup)
            kill(run.cgroup)
            _remove(run.cgroup)
            with suppress(OSError):
                os.rmdir(os.path.dirname(run.cgroup))
            run.cgroup = ""

    def close(self) -> None:
        """Remove all, which is empty."""
        if self.top:
            _remove(self.top)


def limits(group: Mapping[str, Any], controllers: Collection[str], more: int = 0) -> Iterator[tuple[str, str]]:
    """The files and values that limit a group to its members: `memory` in bytes, `processors`, `processes`."""
    memory, processors, processes = (group.get(name) if one in controllers else None for name, one in LIMITS.items())
    if memory is not None:
        yield "memory.max", str(int(memory))
        yield "memory.oom.group", "1"
    if processors is not None:
        yield "cpu.max", f"{max(1000, round(processors * PERIOD))} {PERIOD}"
    if processes is not None:
        yield "pids.max", str(int(processes) + more)


def out_of_memory(group: Mapping[str, Any], cgroup: str) -> int | None:
    """The limit in bytes for which something in the group was ended; 0 when the system had no memory; else None."""
    try:
        events = dict(line.split() for line in _read(f"{os.path.dirname(cgroup)}/memory.events").splitlines())
    except OSError:
        return None
    if not int(events.get("oom_kill", 0)):
        return None
    return int(group["memory"]) if int(events.get("oom", 0)) and group.get("memory") is not None else 0


def kill(cgroup: str) -> None:
    """SIGKILL to all in it and below it."""
    with suppress(OSError):
        _write(f"{cgroup}/cgroup.kill", "1")


def is_empty(cgroup: str) -> bool:
    """Whether no process is in it or below it."""
    try:
        return "populated 0" in _read(f"{cgroup}/cgroup.events")
    except OSError:
        return True


def end(top: str) -> None:
    """Kill all that is below `top`, and remove it; that of the keeper and its server too, when nobody is in it."""
    if not os.path.basename(top).startswith("labplane-") or not os.path.exists(f"{top}/cgroup.kill"):
        return
    kill(top)
    deadline = time.monotonic() + SECONDS
    while not is_empty(top) and time.monotonic() < deadline:
        time.sleep(0.01)
    _remove(top)
    with suppress(OSError):
        os.rmdir(f"{os.path.dirname(top)}/{OWN}")


def path_of(cgroups: str, mounts: str) -> str:
    """Where the cgroup is, of the process that has that in /proc/self/cgroup and /proc/self/mountinfo.

    Raises FileNotFoundError when it is nowhere.
    """
    own = next((line[3:] for line in cgroups.splitlines() if line.startswith("0::")), "nowhere")
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            root, mount = (one.encode().decode("unicode_escape") for one in fields.split()[3:5])
            if own == root or own.startswith(root.rstrip("/") + "/"):
                return (mount.rstrip("/") + "/" + own[len(root) :].lstrip("/")).rstrip("/")
    raise FileNotFoundError(errno.ENOENT, "no cgroup2 file system with the keeper's own cgroup is mounted")


def base_of(own: str, own_pids: Sequence[int], server: int, systemd: bool) -> str:
    """The cgroup to take for that of a process which is in `own`, where these processes are. Raises OSError."""
    if os.path.basename(own) == OWN:
        return os.path.dirname(own)
    if systemd and own.endswith(".service") and server in own_pids:
        text = (
            f"systemd could not start the server again in {own} beside VMs that run; the keeper as a unit of its own, "
            f"as in contrib/labplane-keeper.service, or DelegateSubgroup={OWN} (systemd 254) let it"
        )
        raise OSError(errno.EBUSY, text)
    return own


def _taken(server: int) -> tuple[str, list[str]]:
    """The cgroup that is ours to divide, ready for it, and its controllers. Raises OSError."""
    own = path_of(_read("/proc/self/cgroup"), _read("/proc/self/mountinfo"))
    pids = _pids(own)
    base = base_of(own, pids, server, os.path.isdir(SYSTEMD))
    if not _is_delegated(base):
        raise PermissionError(errno.EPERM, f"the cgroup {base} is not delegated to the keeper")
    controllers = [one for one in CONTROLLERS if one in _read(f"{base}/cgroup.controllers").split()]
    if not controllers or not os.path.exists(f"{base}/cgroup.procs"):
        raise OSError(errno.ENODEV, f"the cgroup {base} has none of the controllers {', '.join(CONTROLLERS)}")
    moved = [pid for pid in (os.getpid(), server) if pid in pids and base == own]
    if moved:
        with suppress(FileExistsError):
            os.mkdir(f"{base}/{OWN}")
    if not os.path.exists(f"{base}/{OWN}/cgroup.kill"):
        raise OSError(errno.ENOSYS, "Linux 5.14 is the first that ends all of a cgroup")
    try:
        for pid in moved:
            _write(f"{base}/{OWN}/cgroup.procs", str(pid))
        _write(f"{base}/cgroup.subtree_control", " ".join(f"+{one}" for one in controllers))
    except OSError as error:
        others = _pids(base)
        for pid in moved:
            _write(f"{base}/cgroup.procs", str(pid))
        with suppress(OSError):
            os.rmdir(f"{base}/{OWN}")
        if error.errno == errno.EBUSY:
            text = f"other processes are in the cgroup {base}: {', '.join(map(str, others[:8]))}"
            raise OSError(errno.EBUSY, text) from None
        raise
    return base, controllers


def _is_delegated(base: str) -> bool:
    """Whether nobody else sees to that cgroup. Root may write everywhere, so systemd's mark of it counts."""
    if os.geteuid() or not os.path.isdir(SYSTEMD):
        return all(os.access(f"{base}/{name}", os.W_OK) for name in ("", "cgroup.procs", "cgroup.subtree_control"))
    for name in ("trusted.delegate", "user.delegate"):
        with suppress(OSError):
            if os.getxattr(base, name) == b"1":
                return True
    return False


def _pids(cgroup: str) -> list[int]:
    return [int(pid) for pid in _read(f"{cgroup}/cgroup.procs").split()]


def _plain(name: str) -> str:
    """A name of one step of a path."""
    return "".join(one if one.isalnum() or one in "-_:" else f"%{ord(one):02x}" for one in name)[:200]


def _remove(cgroup: str) -> None:
    for path, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            os.rmdir(path)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
