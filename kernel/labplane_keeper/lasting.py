"""What outlasts the program: all of it, when a newer one takes its place; at its end, how runs ended."""

import errno
import json
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from labplane_keeper import SCHEMA
from labplane_keeper.clients import Client, Frame, failure
from labplane_keeper.runs import restored
from labplane_keeper.visiting import STARTED

if TYPE_CHECKING:
    from labplane_keeper.keeper import Keeper


def announce() -> None:
    """Say that the socket is there, to the server that waits for it, or to systemd (man 3 sd_notify)."""
    os.write(1, b"ready\n")
    os.dup2(0, 1)  # which is /dev/null
    if path := os.environ.pop("NOTIFY_SOCKET", ""):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, suppress(OSError):
            told.sendto(b"READY=1", path.replace("@", "\0", 1))


def save(keeper: "Keeper") -> int:
    """A descriptor, to be inherited, of a file in memory with the state of the keeper."""
    now = time.monotonic()
    numbers: dict[str, Any] = {"schema": SCHEMA, "lock": keeper.lock, "listener": keeper.listener.fileno()}
    runs = [run.saved() for run in keeper.runs.values() if run.pid]
    kill_in = [[run.id, max(0.0, at - now)] for run, at in keeper.kill_at.items()]
    numbers["groups"] = keeper.groups.shown()
    state = {**numbers, "instance": keeper.instance, "oom": keeper.oom, "runs": runs, "kill_in": kill_in}
    file = os.memfd_create("keeper", 0)
    with open(file, "wb", closefd=False) as memory:
        memory.write(json.dumps(state).encode())
    return file


def record(keeper: "Keeper") -> None:
    """Write down what runs, for whoever finds this keeper killed."""
    if keeper.changed:
        keeper.changed = False
        runs = keeper.by_pid.values()
        names = {"runs": [[run.pid, run.started] for run in runs], "marks": [run.mark for run in runs]}
        names["top"] = keeper.groups.top
        text = json.dumps({"boot": keeper.boot, **names})
        with suppress(OSError):
            if keeper.started_file < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
                keeper.started_file = os.open(STARTED, flags, 0o600, dir_fd=keeper.at)
            os.ftruncate(keeper.started_file, os.pwrite(keeper.started_file, text.encode(), 0))


def checked(keeper: "Keeper", status: int) -> None:
    """Take note of how the newer program found our state."""
    if keeper.check is None:
        return
    _, client, frame, program = keeper.check
    keeper.check = None
    if status == 0:
        keeper.upgrade = (client, frame, program)
        return
    text = f"The newer keeper cannot go on from the state of this one (its check ended with {status}); this one stays."
    keeper.reply(client, frame, failure(OSError(errno.EPROTO, text)))


def go_on_as(keeper: "Keeper", client: Client, frame: Frame, program: list[str]) -> None:
    """Become the newer program. Connections end with this one; their clients connect again and miss nothing."""
    if keeper.clients.get(client.end.fileno()) is client:
        client.send({"reply": frame[0].get("seq")})
    for one in list(keeper.clients.values()):
        keeper.pump(one)
        with suppress(OSError):
            one.end.shutdown(socket.SHUT_RD)  # what it sends from now on it knows to be lost, and sends again
        while keeper.hear(one):
            pass
    kept = [one for run in keeper.runs.values() for one in run.descriptors]
    for descriptor in (keeper.lock, keeper.listener.fileno(), *kept):
        os.set_inheritable(descriptor, True)
    more = (keeper.directory, str(keeper.linger), str(int(keeper.bound)), str(save(keeper)))
    os.execve(program[0], [*program, *more], {})  # noqa: S606 - there is no shell to it


def check(descriptor: int) -> None:
    """Raise unless this program can go on from the state in that file."""
    for run in _read(descriptor)["runs"]:
        restored(run)


def inherited(descriptor: int | None) -> dict[str, Any]:
    """The state in that file; of all descriptors that this program finds, those that it names alone stay open."""
    state = {} if descriptor is None else _read(descriptor)
    state["runs"] = [restored(run) for run in state.get("runs", ())]
    known = {state.get("lock"), state.get("listener"), *(one for run in state["runs"] for one in run.descriptors)}
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # that of the directory itself is closed by now
            if number in known:
                os.set_inheritable(number, False)
            elif number > 2:
                os.close(number)
    return state


def resume(keeper: "Keeper", state: dict[str, Any]) -> None:
    """Go on from that state."""
    keeper.instance, keeper.oom = state["instance"], state["oom"]
    if "groups" in state:  # which keepers have since version 4
        keeper.groups.restore(state["groups"])
    keeper.begin(state["lock"], state["listener"])
    keeper.runs = {run.id: run for run in state["runs"]}
    for run in state["runs"]:
        if run.status is None:
            keeper.by_pid[run.pid] = keeper.masters[run.master] = run
            keeper.watch(run)
    now = time.monotonic()
    keeper.kill_at = {keeper.runs[name]: now + left for name, left in state["kill_in"]}
    keeper.reap()


def _read(descriptor: int) -> dict[str, Any]:
    with open(os.dup(descriptor), "rb") as file:
        file.seek(0)
        state: dict[str, Any] = json.load(file)
    if state["schema"] != SCHEMA:
        raise ValueError(f"the state has the schema {state['schema']}; this keeper reads {SCHEMA}")
    return state


def recall(keeper: "Keeper") -> None:
    """Take up what an earlier keeper has left."""
    with suppress(OSError, ValueError, KeyError):
        with open(os.open("ended", os.O_RDONLY, dir_fd=keeper.at)) as file:
            keeper.runs = {run.id: run for run in map(restored, json.load(file))}
        os.unlink("ended", dir_fd=keeper.at)


def leave(keeper: "Keeper") -> None:
    """Let go of the directory."""
    keeper.groups.close()
    ended = [] if keeper.quitting else [run.saved() for run in keeper.runs.values()]
    with suppress(OSError):
        if ended:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with open(os.open("ended", flags, 0o600, dir_fd=keeper.at), "w") as file:
                json.dump(ended, file)
        os.unlink("socket", dir_fd=keeper.at)
        if keeper.bound:
            for name in ("lock", "log", STARTED):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=keeper.at)
            os.rmdir(keeper.directory)
