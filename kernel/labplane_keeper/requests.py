"""The requests of clients, by name; docs/keeper.md says what each has in it and does.

Each is called with the keeper, the client and the frame, and returns the members of the reply, or None when the reply
comes later. Raises OSError for a refusal; any other exception is one, too. Those of `COMMON` are an engine's, too.
"""

import errno
import fcntl
import os
import resource
import socket
import struct
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from labplane_keeper import lasting
from labplane_keeper.clients import Client, Frame
from labplane_keeper.runs import Log, Run
from labplane_keeper.serving import Clients

if TYPE_CHECKING:
    from labplane_keeper.keeper import Keeper

Members = dict[str, Any]


def list_runs(keeper: Clients, client: Client, frame: Frame) -> Members:
    return {"runs": [run.shown() for run in keeper.runs.values() if run.pid]}


def spawn(keeper: "Keeper", client: Client, frame: Frame) -> Members | None:
    message, _, fds = frame
    name, generation = str(message["id"]), int(message["generation"])
    former = keeper.runs.get(name)
    if former is not None and former.generation == generation and former.pid:
        if message.get("read"):
            client.read(former, 0)
        return former.shown()
    if former is not None and (former.status is None or former.generation >= generation):
        raise OSError(errno.EEXIST, "An earlier run of this id is still there, or a later one.")
    if keeper.quitting or keeper.upgrade is not None:
        raise OSError(errno.ESHUTDOWN, "The keeper is ending or being replaced.")
    run = Run(name, generation, message["ring"], message.get("note"))
    run.master, slave = os.openpty()
    try:
        os.set_blocking(run.master, False)
        if "modes" in message:
            termios.tcsetattr(slave, termios.TCSANOW, message["modes"])
        if message.get("user") is not None:
            os.fchown(slave, message["user"][0], -1)
        if message.get("log") is not None:
            _open_log(keeper, run, message["log"], fds)
        keeper.groups.place(run, message.get("group"))
    except BaseException:
        os.close(slave)
        run.close()
        raise
    keeper.runs[name] = run
    keeper.waiting.append((run, client, message, fds, slave))
    keeper.start_next()
    return None


def _open_log(keeper: "Keeper", run: Run, wanted: dict[str, Any], fds: list[int]) -> None:
    directory = fcntl.fcntl(fds[wanted["directory"]], fcntl.F_DUPFD_CLOEXEC, 0)
    try:
        run.log = Log(directory, wanted["name"], wanted["limit"])
    except OSError as error:
        os.close(directory)
        keeper.complain(run, f"{wanted['name']} is not written: {error.strerror}")


def note(keeper: Clients, client: Client, frame: Frame) -> Members:
    named(keeper, frame).note = frame[0]["note"]
    return {}


def read(keeper: Clients, client: Client, frame: Frame) -> Members:
    run = named(keeper, frame)
    client.leave(run)
    if frame[0]["from"] is not None:
        client.read(run, frame[0]["from"])
    return {"begin": run.begin}


def write(keeper: "Keeper", client: Client, frame: Frame) -> Members:
    run = named(keeper, frame)
    if run.status is None:
        run.type(frame[1])
        if run not in keeper.held:
            keeper.watch(run)
    return {}


def signal(keeper: "Keeper", client: Client, frame: Frame) -> Members:
    named(keeper, frame).signal(frame[0]["number"])
    return {}


def end(keeper: "Keeper", client: Client, frame: Frame) -> Members:
    keeper.end(named(keeper, frame), float(frame[0]["patience"]))
    return {}


def forget(keeper: Clients, client: Client, frame: Frame) -> Members:
    with suppress(ProcessLookupError):
        run = named(keeper, frame)
        if run.status is None:
            raise OSError(errno.EBUSY, "The run has not ended.")
        for reader in list(run.readers):
            reader.leave(run)
        del keeper.runs[run.id]
    return {}


def weigh(keeper: "Keeper", client: Client, frame: Frame) -> Members:
    with open(f"/proc/{named(keeper, frame).pid}/autogroup", "w") as file:
        file.write(str(frame[0]["nice"]))
    return {}


def groups(keeper: "Keeper", client: Client, frame: Frame) -> Members:
    """What can be limited, and why no more. The first one to ask is made room for, with the keeper."""
    pid, _, _ = struct.unpack("3i", client.end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    keeper.groups.begin(pid)
    keeper.changed = True
    return keeper.groups.shown()


def status(keeper: Clients, client: Client, frame: Frame) -> Members:
    with open("/proc/self/statm") as file:
        rss = int(file.read().split()[1]) * resource.getpagesize()
    runs = sum(bool(run.pid) and run.status is None for run in keeper.runs.values())
    return {"runs": runs, "clients": len(keeper.clients), "rss": rss, "cpu": time.process_time()}


def leave(keeper: "Keeper", client: Client, frame: Frame) -> Members:
    keeper.quit(float(frame[0]["patience"]))
    return {}


def upgrade(keeper: "Keeper", client: Client, frame: Frame) -> None:
    """The newer program says first whether it can read our state; only then does it take our place."""
    message, _, fds = frame
    if keeper.check is not None or keeper.upgrade is not None:
        raise OSError(errno.EALREADY, "An upgrade is under way.")
    file = fds[message["file"]]
    program = [message["python"], "-IS", f"/proc/self/fd/{file}"]
    os.set_inheritable(file, True)
    state = lasting.save(keeper)
    try:
        pid = os.posix_spawn(program[0], [*program, "--check", str(state)], {})
    finally:
        os.close(state)
    keeper.check = (pid, client, frame, program)


def named(keeper: Clients, frame: Frame) -> Run:
    """The run that a request is about. Raises ProcessLookupError when there is none."""
    run = keeper.runs.get(frame[0]["id"])
    if run is None or run.generation != frame[0]["generation"] or not run.pid:
        raise ProcessLookupError(errno.ESRCH, "There is no such run.")
    return run


COMMON: dict[str, Callable[[Clients, Client, Frame], Members]] = {
    "list": list_runs,
    "note": note,
    "read": read,
    "forget": forget,
    "status": status,
}
REQUESTS: dict[str, Callable[["Keeper", Client, Frame], Members | None]] = {
    **COMMON,
    "spawn": spawn,
    "write": write,
    "signal": signal,
    "end": end,
    "weigh": weigh,
    "groups": groups,
    "quit": leave,
    "upgrade": upgrade,
}
