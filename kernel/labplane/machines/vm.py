"""A VM, its lock and its life; the table of all VMs of a lab."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING, Any, TypeVar

from labplane.errors import LabError
from labplane.machines import records
from labplane.machines.capturing import can_capture
from labplane.machines.images import images_of
from labplane.machines.leases import lease_udp
from labplane.machines.places import directory_in
from labplane.machines.ports import VMPort
from labplane.machines.udp_ends import take_back
from labplane.net.nios import NIO, Port
from labplane.supervision import go_on

if TYPE_CHECKING:
    from labplane.emulators.session import Session
    from labplane.machines.driver import Driver
    from labplane.machines.kind import Kind
    from labplane.machines.lab import Lab

log = logging.getLogger("labplane")

STOPPED = "stopped"
STARTED = "started"
SUSPENDED = "suspended"
PATIENCE = 3.0

Result = TypeVar("Result")


class Phase(Enum):
    """The stage of a VM's life."""

    MAKING = "in the making: its id is taken, and lists leave it out"
    READY = "there for requests"
    ENDING = "there, and its program is being ended on request"
    GONE = "deleted, or never made whole"


class VM:
    """One emulated machine.

    id:       its UUID, in lower case.
    name:     its label, which need not be unique.
    project_id: the id of its project.
    driver:   the `Driver` that runs it.
    dir:      its working directory, below the project's; exists from creation on.
    settings: the driver's own settings, by name.
    console:  its TCP port, None for a kind without consoles.
    nios:     the NIO of each port in which a link is plugged, by (adapter, port).
    captures: the file to which each port is being captured, by (adapter, port); empty while it is stopped.
    leases:   its further ports by their names, of each pool: consoles, and UDP ports of its own.
    lent:     the UDP ports that its program may have bound, those of former NIOs too.
    status:   "stopped", "started" or "suspended"; a change of it is an event. The kernel sets it; see `report`.
    ready:    whether it is started and its guest is up, for a driver that `boots`; its beginning is an event.
    phase:    the stage of its life, a `Phase`.
    data:     the driver's own notes, at which the kernel never looks.
    session:  the `Session` that runs or ran last, when its driver is a ConsoleDriver.
    lock:     held by the request or project operation that works on the VM; it is fair (L-1).

    left:     whether the server, which ends, has left it to the next one.
    generation: the number of its latest run, 0 before the first.
    wanted:   the status that it had when the earlier server ended.
    last_exit: how its latest run ended, {"status": the returncode, None when nobody saw it, "last_line": the last that
               it printed}, or None.
    """

    def __init__(
        self, lab: "Lab", kind: "Kind", project_id: str, vm_id: str, name: str, project: Path | None = None
    ) -> None:
        self.lab = lab
        self.driver: Driver = kind.driver
        self.project_id = intern(project_id)
        self.id = vm_id
        self.name = name
        self.dir = directory_in(project or lab.project_dir(project_id), kind.driver.kind, vm_id)
        self.console: int | None = None
        self.settings: dict[str, Any] = {}
        self.leases: dict[str, dict[str, int]] = {records.CONSOLE: {}, records.UDP: {}}
        self.nios: dict[Port, NIO] = {}
        self.captures: dict[Port, Path] = {}
        self.lent: set[int] = set()
        self._kind = kind
        self._status = STOPPED
        self._ready = False
        self._progress: tuple[float | None, str] | None = None
        self.data: dict[str, Any] = {}
        self.session: Session | None = None
        self.command_line = ""
        self.lock = asyncio.Lock()
        self.phase = Phase.MAKING
        self.left = False
        self.generation = 0
        self.wanted = STOPPED
        self.last_exit: dict[str, Any] | None = None
        self._news: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return f"{self.driver.kind} {self.name!r} ({self.id})"

    @property
    def listed(self) -> bool:
        """True while lists show it: not while it is in the making, nor when it is gone."""
        return self.phase in (Phase.READY, Phase.ENDING)

    @property
    def gone(self) -> bool:
        """True once it has been deleted, or could not be made."""
        return self.phase is Phase.GONE

    @property
    def status(self) -> str:
        return self._status

    @status.setter
    def status(self, status: str) -> None:
        if status != self._status:
            self._status = status
            if status == STOPPED:
                self.captures.clear()
            records.note_run(self)
            self.announce(f"vm.{status}")

    @property
    def ready(self) -> bool:
        return self._ready and self._status == STARTED

    @ready.setter
    def ready(self, ready: bool) -> None:
        before, self._ready = self.ready, ready
        if self.ready and not before:
            self.announce("vm.ready")

    @property
    def patience(self) -> float:
        """The seconds that a graceful stop of it may take, as its driver and the settings say."""
        try:
            wanted = float(self.run(self.driver.patience, self))
        except LabError:  # it is stopped all the same
            wanted = PATIENCE
        return min(max(0.0, wanted), self.lab.settings.max_patience)

    def adapters(self, settings: Mapping[str, Any] | None = None) -> tuple[int, ...]:
        """The number of ports of each adapter that it has, or would have with other settings. Raises LabError only."""
        return self._kind.adapters(self, self.settings if settings is None else settings)

    def ports(self) -> tuple[VMPort, ...]:
        """Its ports, with their names. Raises LabError only."""
        return self._kind.ports(self)

    @property
    def console_type(self) -> str:
        """What its console is, as its driver says: "telnet", "vnc" or "none"."""
        if not self._kind.chooses_console:
            return "telnet"
        try:
            return str(self.run(self.driver.console_type, self))
        except LabError:
            return "none"

    @property
    def consoles(self) -> Mapping[str, int]:
        """The TCP ports of its further consoles, by their names."""
        return self.leases[records.CONSOLE]

    async def udp_port(self, name: str) -> int:
        """A UDP port of its own by name, the same ever after; like an ``lport`` it is let go of at each start."""
        return await lease_udp(self, name)

    @property
    def captures_dir(self) -> Path:
        """The directory of the files to which its ports are captured."""
        return self.lab.project_dir(self.project_id).joinpath("project-files", "captures", self.id)

    def images(self) -> list[Path]:
        """The files of the images that its settings name; when it starts they are there. Raises LabError."""
        return list(images_of(self, self.settings).values())

    def mac(self, number: int) -> str:
        """A MAC address, "02:00:00:00:00:00", for each `number` from 0 to 1,023.

        It is the same at each start, and no other VM of this server has it.
        """
        return self.lab.macs.address(self.id, number)

    async def to_object(self) -> dict[str, Any]:
        """The VM object of replies and events (section 7 of docs/api.md). Raises LabError."""
        return await self._object(self._own_members())

    def announce(self, action: str) -> None:
        """Emit an event with the VM object of this moment, after the earlier events of this VM."""
        if self.lab.events.wanted(self.project_id):
            self._emit_in_turn(action, partial(self._object_or_own_members, self._own_members()))

    def announce_link(self, action: str, port: Port, nio: NIO) -> None:
        """Emit an event about one of its links, after the earlier events of this VM."""

        async def link() -> dict[str, Any]:
            return {"vm_id": self.id, "adapter": port[0], "port": port[1], "nio": dict(nio)}

        if self.lab.events.wanted(self.project_id):
            self._emit_in_turn(action, link)

    def tell(self, level: str, message: str) -> None:
        """Log `message` and emit it as an event after earlier ones of this VM; level: "error", "warning", "info"."""
        log.log(logging.getLevelNamesMapping()[level.upper()], "%s", message)

        async def sentence() -> dict[str, Any]:
            return {"message": message}

        if self.lab.events.wanted(self.project_id):
            self._emit_in_turn(f"log.{level}", sentence)

    def progress(self, share: float | None, sentence: str) -> None:
        """Tell how far the work on it has come, as the event "vm.progress"; clients show it while they wait.

        share:    of the work that is done, from 0 to 1; None when nobody knows.
        sentence: what is being done: "The image is being copied."

        Work that takes longer than ``driver_seconds`` is not cancelled as long as this tells something new in time.
        """
        told = None if share is None else round(min(max(share, 0.0), 1.0), 2), sentence
        if told == self._progress:
            return
        self._progress = told
        go_on()

        async def event() -> dict[str, Any]:
            return {"vm_id": self.id, "name": self.name, "share": told[0], "message": sentence}

        if self.lab.events.wanted(self.project_id):
            self._emit_in_turn("vm.progress", event)

    def report(self, status: str, why: str) -> None:
        """Take note that the emulator has, by itself, gone over to another status: "started", "suspended" or "stopped".

        why: a clause for the user: "its guest has shut down". Does nothing while the VM is ended on request.
        """
        if status not in (STARTED, STOPPED, SUSPENDED):
            raise ValueError(f"a VM is stopped, started or suspended, not {status!r}")
        if status == self.status or self.phase is not Phase.READY:
            return
        self.tell("info", f"{self} is {status}: {why}.")
        self.status = status
        if status == STOPPED:
            take_back(self)
            if self.session is not None:
                self.lab.background(self.session.finish())

    @contextmanager
    def deed(self, action: str) -> Iterator[None]:
        """Log and measure what is done to the VM meanwhile, once, well or not; action: "create", "start", "stop", …"""
        began = time.perf_counter()
        outcome, reason = "done", ""
        try:
            yield
        except BaseException as error:
            outcome, reason = "refused", f": {error}" if isinstance(error, LabError) else f": {type(error).__name__}"
            raise
        finally:
            seconds = time.perf_counter() - began
            kind = self.driver.kind
            self.lab.measures.add("vm_operation", seconds, kind=kind, action=action, outcome=outcome)
            fields = {"action": action, "outcome": outcome, "seconds": round(seconds, 6), "kind": kind}
            fields |= {"vm_id": self.id, "project_id": self.project_id, "name": self.name}
            sentence = "%s: %s %s after %.1f ms%s"
            log.info(sentence, self, action, outcome, seconds * 1000, reason, extra={"fields": fields})

    def _emit_in_turn(self, action: str, event: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> None:
        async def emit(before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await asyncio.wait([before])
            self.lab.events.emit(action, await event(), self.project_id)

        self._news = self.lab.background(emit(self._news))

    async def last_object(self) -> dict[str, Any]:
        """The VM object for its last event, once all its earlier events have been emitted."""
        if self._news is not None:
            await asyncio.wait([self._news])
        return await self._object_or_own_members(self._own_members())

    async def _object_or_own_members(self, own: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._object(own)
        except LabError:  # the event is emitted all the same
            return own

    async def _object(self, own: dict[str, Any]) -> dict[str, Any]:
        async def show() -> dict[str, Any]:
            return {**await self.driver.show(self), **own}

        return await self.supervised(show())

    def _own_members(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "name": self.name,
            "vm_id": self.id,
            "project_id": self.project_id,
            "status": self.status,
            "vm_directory": str(self.dir),
        }
        if self.console is not None:
            own["console"] = self.console
        if self.consoles:
            own["consoles"] = dict(self.consoles)
        if self._kind.chooses_console:
            own["console_type"] = self.console_type
        if can_capture(self.driver):
            own["captures"] = [
                {"adapter": adapter, "port": port, "path": str(path)}
                for (adapter, port), path in sorted(self.captures.items())
            ]
        if self.driver.boots:
            own["ready"] = self.ready
        return own

    async def supervised(self, operation: Coroutine[Any, Any, Result], *, at_least: float = 0.0) -> Result:
        """The result of `operation`, a coroutine of the driver for this VM. Raises LabError only.

        at_least: seconds that it may take in any case.
        """
        return await self._kind.call(operation, self, self.project_id, at_least=at_least)

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The result of a plain method of the driver. Raises LabError only."""
        return self._kind.run(function, *arguments, vm=self, project_id=self.project_id)

    def ended(self, session: "Session", returncode: int) -> None:
        """Take note that the machine of `session` has ended, for whatever reason (S-7)."""
        if session is self.session:
            if self.status != STOPPED and self.phase is not Phase.ENDING:
                how = f"by signal {-returncode}" if returncode < 0 else f"by itself, with status {returncode}"
                if session.process is not None and session.process.lost:
                    how = "because its keeper has ended; it can be started again"
                self.tell("error" if returncode else "info", f"{self} ended {how}.{session.suspicion}")
            self.last_exit = {"status": returncode, "last_line": session.last_line}
            take_back(self)
            self.status = STOPPED
            self.lab.background(session.finish())
