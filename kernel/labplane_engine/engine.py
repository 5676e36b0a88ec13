"""The engine's machines, its clients and their requests, on the event loop (docs/keeper.md has the protocol)."""

import asyncio
import errno
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

from labplane_engine.world import Machine, World
from labplane_keeper import OLDEST, PROTOCOL, SCHEMA
from labplane_keeper.clients import Client, Frame, failure
from labplane_keeper.runs import Run
from labplane_keeper.visiting import boot_id, connect, start_time

VERSION = 1
TERMINATED = -signal.SIGTERM
KILLED = -signal.SIGKILL
FAILED = 1
Members = dict[str, Any]


class EngineRun(Run):
    """A machine in the engine, or what is remembered of one that has ended."""

    def __init__(self, name: str, generation: int, size: int, note: Any) -> None:
        super().__init__(name, generation, size, note)
        self.machine: Machine | None = None

    def keep(self, data: bytes) -> None:
        """Remember what it printed."""
        self.ring += data
        self.end += len(data)
        del self.ring[: max(0, len(self.ring) - self.size)]
        for reader in self.readers:
            reader.behind[self] = None


def peer(end: socket.socket) -> tuple[int, int]:
    """The process and user at the other end of a connection."""
    pid, uid, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid


def keeper_of(directory: str) -> int:
    """The keeper beside the engine of `directory`, 0 when there is none."""
    try:
        with connect(os.path.dirname(directory)) as end:
            return peer(end)[0]
    except OSError:
        return 0


def descends(pid: int, ancestor: int) -> bool:
    """Whether that process was started by `ancestor`, or is gone.

    An emulator, which the keeper has started and confined, must not reach the engine, which imports what it is told.
    """
    while ancestor and pid not in (0, 1):
        if pid == ancestor:
            return True
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return True
    return False


class Engine:
    """All machines and clients. listener: where clients connect; directory, linger, bound: as of the keeper."""

    def __init__(self, listener: socket.socket, directory: str, linger: float, bound: bool) -> None:
        self.instance = os.urandom(8).hex()
        self.runs: dict[str, EngineRun] = {}
        self.done = asyncio.Event()
        self._listener = listener
        self._directory, self._linger, self._bound = directory, linger, bound
        self._clients: dict[int, Client] = {}
        self._loop = asyncio.get_running_loop()
        self._since = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._pid = os.getpid()
        self._started = start_time(self._pid) or 0
        self._lonely: asyncio.TimerHandle | None = None
        self._waiting: set[Client] = set()
        self._loop.add_reader(listener.fileno(), self._accept)
        self._look_around()

    def _accept(self) -> None:
        try:
            end, _ = self._listener.accept()
        except OSError:
            return
        pid, uid = peer(end)
        if uid not in (0, os.geteuid()) or descends(pid, keeper_of(self._directory)):
            end.close()
            return
        end.setblocking(False)
        client = self._clients[end.fileno()] = Client(end)
        numbers = {"protocol": PROTOCOL, "oldest": OLDEST, "version": VERSION, "schema": SCHEMA, "pid": self._pid}
        client.send({"hello": "engine", **numbers, "instance": self.instance, "boot": boot_id()})
        self._loop.add_reader(end.fileno(), self._hear, client)
        self._pump(client)

    def _hear(self, client: Client) -> None:
        try:
            there = client.receive()
            for frame in client.frames():
                self._answer(client, frame)
        except (OSError, ValueError, KeyError, TypeError) as error:
            print("a client is hung up:", repr(error), file=sys.stderr, flush=True)
            there = False
        if there:
            self._pump(client)
        else:
            self._hang_up(client)

    def _answer(self, client: Client, frame: Frame) -> None:
        message, _, fds = frame
        if client.role is None:
            if message["protocol"] < OLDEST:
                raise ValueError(f"it speaks the protocol {message['protocol']} at best")
            client.role = message["hello"]
            self._look_around()
            return
        try:
            request = REQUESTS.get(message["op"])
            if request is None:
                raise OSError(errno.ENOSYS, f"The engine does not know {message['op']!r}.")
            if len(fds) < message.get("descriptors", 0):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            members = request(self, client, frame)
        except OSError as error:
            members = failure(error)
        except Exception as error:  # whatever a request has in it
            members = failure(OSError(errno.EINVAL, f"{type(error).__name__}: {error}"))
        for descriptor in fds:
            os.close(descriptor)
        if "seq" in message:
            client.send({"reply": message["seq"], **members})

    def _pump(self, client: Client) -> None:
        if client.end.fileno() < 0:
            return
        try:
            client.pump()
        except OSError:
            self._hang_up(client)
            return
        if client.writes != client.waits:
            client.writes = client.waits
            if client.waits:
                self._loop.add_writer(client.end.fileno(), self._pump, client)
            else:
                self._loop.remove_writer(client.end.fileno())

    def _hang_up(self, client: Client) -> None:
        number = client.end.fileno()
        if self._clients.pop(number, None) is None:
            return
        self._loop.remove_reader(number)
        self._loop.remove_writer(number)
        client.close()
        self._look_around()

    def _look_around(self) -> None:
        """End when nobody is there for the machines, at once or after a while."""
        attended = any(client.role == "server" for client in self._clients.values())
        if self._lonely is not None:
            self._lonely.cancel()
            self._lonely = None
        if attended or (not self._bound and any(run.status is None for run in self.runs.values())):
            return
        self._lonely = self._loop.call_later(self._linger, self.quit)

    def made(self, run: EngineRun, machine: str, settings: Any, fds: list[int]) -> None:
        """Begin a run with a new machine. Raises OSError, and whatever importing or making it does."""
        world = World(lambda data: self._printed(run, data), lambda status: self.ended(run, status), self._failed(run))
        module, _, name = machine.partition(":")
        kept = [os.dup(descriptor) for descriptor in fds]
        try:
            run.machine = getattr(import_module(module), name)(world, settings, kept)
        except BaseException:
            for descriptor in kept:
                os.close(descriptor)
            raise
        run.pid, run.started = self._pid, self._started
        self.runs[run.id] = run
        self._look_around()

    def _printed(self, run: EngineRun, data: bytes) -> None:
        run.keep(data)
        if run.readers and not self._waiting:
            self._loop.call_soon(self._pump_readers)
        self._waiting.update(run.readers)

    def _pump_readers(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for client in waiting:
            self._pump(client)

    def _failed(self, run: EngineRun) -> Callable[[Exception], None]:
        def failed(error: Exception) -> None:
            traceback.print_exception(error)
            sys.stderr.flush()
            text = f"It failed: {type(error).__name__}: {error}"
            for client in self._clients.values():
                if client.role == "server":
                    client.send({"event": "complaint", "id": run.id, "generation": run.generation, "text": text})
            self.ended(run, FAILED)

        return failed

    def ended(self, run: EngineRun, status: int) -> None:
        """Take note that a machine has ended, and have it let go of everything."""
        if run.status is not None:
            return
        run.status = status
        machine, run.machine = run.machine, None
        if machine is not None:
            try:
                machine.close()
            except Exception as error:
                traceback.print_exception(error)
        for reader in list(run.readers):
            reader.behind[run] = None
            self._waiting.add(reader)
        if self._waiting:
            self._loop.call_soon(self._pump_readers)
        self._look_around()

    def quit(self) -> None:
        """End all machines and the engine."""
        for run in list(self.runs.values()):
            self.ended(run, TERMINATED)
        self._pump_readers()
        self.done.set()

    def found(self, message: dict[str, Any]) -> EngineRun:
        """The run that a request is about. Raises OSError when there is none."""
        run = self.runs.get(str(message["id"]))
        if run is None or run.generation != message["generation"]:
            raise OSError(errno.ESRCH, "There is no such run.")
        return run

    def status(self) -> Members:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        with open("/proc/self/statm") as file:
            rss = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        running = sum(run.status is None for run in self.runs.values())
        cpu = usage.ru_utime + usage.ru_stime
        return {"runs": running, "clients": len(self._clients), "rss": rss, "cpu": cpu, "since": self._since}


def _list(engine: Engine, client: Client, frame: Frame) -> Members:
    return {"runs": [run.shown() for run in engine.runs.values()]}


def _spawn(engine: Engine, client: Client, frame: Frame) -> Members:
    message, _, fds = frame
    name, generation = str(message["id"]), int(message["generation"])
    former = engine.runs.get(name)
    if former is None or former.generation != generation:
        if former is not None and (former.status is None or former.generation >= generation):
            raise OSError(errno.EEXIST, "An earlier run of this id is still there, or a later one.")
        former = EngineRun(name, generation, message["ring"], message.get("note"))
        engine.made(former, message["machine"], message["settings"], fds)
    if message.get("read"):
        client.read(former, 0)
    return former.shown()


def _note(engine: Engine, client: Client, frame: Frame) -> Members:
    engine.found(frame[0]).note = frame[0]["note"]
    return {}


def _read(engine: Engine, client: Client, frame: Frame) -> Members:
    run, offset = engine.found(frame[0]), frame[0]["from"]
    client.leave(run)
    if offset is not None:
        client.read(run, int(offset))
    return {"begin": run.begin}


def _write(engine: Engine, client: Client, frame: Frame) -> Members:
    run = engine.found(frame[0])
    if run.machine is not None:
        run.machine.typed(frame[1])
    return {}


def _signal(engine: Engine, client: Client, frame: Frame) -> Members:
    if frame[0]["number"] in (signal.SIGTERM, signal.SIGKILL):
        engine.ended(engine.found(frame[0]), -int(frame[0]["number"]))
    return {}


def _end(engine: Engine, client: Client, frame: Frame) -> Members:
    engine.ended(engine.found(frame[0]), TERMINATED)
    return {}


def _forget(engine: Engine, client: Client, frame: Frame) -> Members:
    run = engine.runs.get(str(frame[0]["id"]))
    if run is not None and run.generation == frame[0]["generation"]:
        if run.status is None:
            raise OSError(errno.EBUSY, "It has not ended.")
        for reader in list(run.readers):
            reader.leave(run)
        del engine.runs[run.id]
    return {}


def _nothing(engine: Engine, client: Client, frame: Frame) -> Members:
    return {}


def _status(engine: Engine, client: Client, frame: Frame) -> Members:
    return engine.status()


def _quit(engine: Engine, client: Client, frame: Frame) -> Members:
    engine.quit()
    return {}


REQUESTS: dict[str, Callable[[Engine, Client, Frame], Members]] = {
    "list": _list,
    "spawn": _spawn,
    "note": _note,
    "read": _read,
    "write": _write,
    "signal": _signal,
    "end": _end,
    "forget": _forget,
    "weigh": _nothing,
    "status": _status,
    "quit": _quit,
}
