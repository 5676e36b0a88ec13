"""The engine's machines, its clients and their requests, on the event loop (docs/keeper.md has the protocol)."""

import asyncio
import errno
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from labplane_engine.ends import Ends
from labplane_engine.world import Machine, World
from labplane_keeper.clients import Client, Frame
from labplane_keeper.requests import COMMON, Members, named
from labplane_keeper.runs import Run
from labplane_keeper.serving import Clients
from labplane_keeper.visiting import start_time

VERSION = 1
TERMINATED = -signal.SIGTERM
FAILED = 1


class Engine(Clients):
    """All machines and clients. linger: seconds that it stays when nothing runs and no server is there."""

    def __init__(self, listener: socket.socket, linger: float) -> None:
        super().__init__("engine", VERSION, REQUESTS, os.getppid())
        self.listener = listener
        self.done = asyncio.Event()
        self._linger = linger
        self._machines: dict[Run, tuple[Machine, World]] = {}
        self._loop = asyncio.get_running_loop()
        self._ends = Ends(self._loop)
        self._pid = os.getpid()
        self._started = start_time(self._pid) or 0
        self._lonely: asyncio.TimerHandle | None = None
        self._waiting: set[Client] = set()
        self._loop.add_reader(listener.fileno(), self.accept)
        self._look_around()

    def attend(self, client: Client) -> None:
        self._ends.watch.add(client.end.fileno(), partial(self._hear, client), partial(self.pump, client))
        self._loop.call_soon(self.pump, client)

    def attend_more(self, client: Client) -> None:
        self._ends.watch.want_write(client.end.fileno(), client.waits)

    def dismiss(self, client: Client) -> None:
        self._ends.watch.remove(client.end.fileno())

    def left_alone(self) -> None:
        self._look_around()

    def quit(self, patience: float = 0.0) -> None:
        """End all machines and the engine."""
        for run in list(self.runs.values()):
            self.ended(run, TERMINATED)
        self._pump_readers()
        self.done.set()

    def made(self, run: Run, machine: str, settings: Any, fds: list[int]) -> None:
        """Begin a run with a new machine. Raises OSError, and whatever importing or making it does."""
        world = World(
            self._ends,
            lambda data: self._printed(run, data),
            lambda status: self.ended(run, status),
            lambda error: self._failed(run, error),
        )
        module, _, name = machine.partition(":")
        kept = [os.dup(descriptor) for descriptor in fds]
        try:
            self._machines[run] = (getattr(import_module(module), name)(world, settings, kept), world)
        except BaseException:
            world.close()
            for descriptor in kept:
                with suppress(OSError):  # it was that of an end
                    os.close(descriptor)
            raise
        run.pid, run.started = self._pid, self._started
        self.runs[run.id] = run
        self._look_around()

    def ended(self, run: Run, status: int) -> None:
        """Take note that a machine has ended, and have it let go of everything."""
        if run.status is not None:
            return
        if (there := self._machines.pop(run, None)) is not None:
            machine, world = there
            try:
                machine.close()
            except Exception as error:
                traceback.print_exception(error)
            world.close()
        run.ended(status)
        self._is_behind(run)
        self._look_around()

    def type(self, run: Run, data: bytes) -> None:
        """Type at the console of a machine; what that raises ends it."""
        if run in self._machines:
            machine, world = self._machines[run]
            world.guarded(machine.typed)(data)

    def _hear(self, client: Client) -> None:
        there = client.role == "server"
        if self.hear(client):
            self.pump(client)
            if not there and client.role == "server":
                self._look_around()

    def _look_around(self) -> None:
        """End after a while when nobody is there and nothing runs."""
        if self._lonely is not None:
            self._lonely.cancel()
            self._lonely = None
        if self.alone_since is not None and not self._machines:
            self._lonely = self._loop.call_later(self._linger, self.quit)

    def _printed(self, run: Run, data: bytes) -> None:
        run.keep(data)
        self._is_behind(run)

    def _is_behind(self, run: Run) -> None:
        """Have those who read `run` told what is new, once for all that comes in this turn."""
        if run.readers and not self._waiting:
            self._loop.call_soon(self._pump_readers)
        self._waiting.update(run.readers)

    def _pump_readers(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for client in waiting:
            if client.end.fileno() >= 0:
                self.pump(client)

    def _failed(self, run: Run, error: Exception) -> None:
        traceback.print_exception(error)
        sys.stderr.flush()
        self.complain(run, f"It failed: {type(error).__name__}: {error}")
        for client in list(self.clients.values()):
            self.pump(client)
        self.ended(run, FAILED)


def _spawn(engine: Engine, client: Client, frame: Frame) -> Members:
    message, _, fds = frame
    name, generation = str(message["id"]), int(message["generation"])
    run = engine.runs.get(name)
    if run is None or run.generation != generation:
        if run is not None and (run.status is None or run.generation >= generation):
            raise OSError(errno.EEXIST, "An earlier run of this id is still there, or a later one.")
        run = Run(name, generation, message["ring"], message.get("note"))
        engine.made(run, message["machine"], message["settings"], fds)
    if message.get("read"):
        client.read(run, 0)
    return run.shown()


def _write(engine: Engine, client: Client, frame: Frame) -> Members:
    engine.type(named(engine, frame), frame[1])
    return {}


def _signal(engine: Engine, client: Client, frame: Frame) -> Members:
    if frame[0]["number"] in (signal.SIGTERM, signal.SIGKILL):
        engine.ended(named(engine, frame), -int(frame[0]["number"]))
    return {}


def _end(engine: Engine, client: Client, frame: Frame) -> Members:
    engine.ended(named(engine, frame), TERMINATED)
    return {}


def _weigh(engine: Engine, client: Client, frame: Frame) -> Members:
    return {}


def _quit(engine: Engine, client: Client, frame: Frame) -> Members:
    engine.quit()
    return {}


REQUESTS: dict[str, Callable[[Engine, Client, Frame], Members]] = {
    **COMMON,
    "spawn": _spawn,
    "write": _write,
    "signal": _signal,
    "end": _end,
    "weigh": _weigh,
    "quit": _quit,
}
