"""`Lab`: everything of a lab that plugins and drivers may use."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from labplane.emulators.engine import Engine
from labplane.emulators.terminals import Terminals
from labplane.emulators.users import User, user_named
from labplane.errors import NotFound
from labplane.events import Events
from labplane.machines import lifecycle, records
from labplane.machines.archive_part import ArchivePart
from labplane.machines.deleted_dirs import DeletedDirs
from labplane.machines.leases import release_ports
from labplane.machines.places import directory_of
from labplane.machines.ports import MacBlocks
from labplane.machines.restoring import Adopter, let_go
from labplane.machines.vm import STOPPED, VM
from labplane.machines.vms import VMs
from labplane.measures import Measures
from labplane.net.ports import PortPool, bind_tcp, bind_udp
from labplane.settings import Settings, SettingsError
from labplane.state.state import State
from labplane.state.store import Store, Values
from labplane.supervision import GRACE_SECONDS
from labplane.validation.schemas import Schema

if TYPE_CHECKING:
    from labplane.machines.driver import Driver

Waited = Callable[[], Coroutine[Any, Any, None]]


class Lab(ABC):
    """One lab: its settings, ports, VMs, drivers and events. Two labs in one process share nothing.

    settings:  the settings as they are now; a reload replaces them.
    vms:       the table of VMs, a `VMs`.
    macs:      the blocks of MAC addresses of VMs, a `MacBlocks`; see `VM.mac`.
    udp:       UDP ports for links, a `PortPool`.
    consoles:  TCP ports for consoles, a `PortPool`.
    terminals: starts programs on terminals, a `Terminals`.
    engine:    makes machines that are no programs, an `Engine`.
    user:      the user that emulators run as, None for the server's own.
    events:    the hub of what happens in the lab, an `Events`.
    measures:  how often the lab did what, and how long it took, a `Measures`.
    started:   whether the server has started: projects that are opened before were open when the earlier one ended.
    ends_all:  whether it was told to end with everything, whatever the settings say.
    ending:    whether the server ends: what is closed from now on is open again when the next one starts.

    archive_parts: what the plugins brought for files of theirs in exports and imports, in the order of the plugins.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.vms = VMs()
        self.macs = MacBlocks()
        self.udp = PortPool("UDP port", *settings.udp_range, bind_udp, settings.unclaimed_udp_seconds)
        self.consoles = PortPool("console port", *settings.console_range, bind_tcp)
        self.terminals = Terminals(lambda: self.data_dir, settings.console_memory)
        self.user = _emulators_user(settings)
        self.engine = Engine(self.terminals, lambda: self.data_dir / "engine", self.user)
        self.events = Events()
        self.measures = Measures()
        self.archive_parts: list[ArchivePart] = []
        self.started = self.ending = self.ends_all = False
        self.adopter: Adopter | None = None
        self.state = State(lambda: settings.projects_path, settings.durability)
        self.state.measure = partial(self.measures.add, "commit")
        self.values = Values(self.state)
        self._deleted = DeletedDirs(self.state)
        self._closing: set[str] = set()
        self._holds: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._gates: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    @abstractmethod
    def drivers(self) -> "Mapping[str, Driver]":
        """The driver of each kind, by the kind's name."""

    @abstractmethod
    def at_start(self, starter: Waited) -> None:
        """Have `starter` awaited when the server starts, before its first request."""

    @abstractmethod
    def at_end(self, ender: Waited) -> None:
        """Have `ender` awaited when the server ends, after its last request."""

    @abstractmethod
    def project_dir(self, project_id: str) -> Path:
        """The directory of the project's files. Raises NotFound unless a plugin has that project open."""

    @abstractmethod
    def image_path(self, kind: str, name: str) -> Path:
        """The file of the image that VMs of that kind know by `name`; it need not exist.

        Raises LabError when that can be no name of one, or nobody keeps images.
        """

    def project_owner(self, project_id: str) -> str:
        """The owner under which a project itself holds leases: ports that were asked for and are not yet used."""
        return f"project {project_id}"

    async def close(self, project_id: str, *, leave: bool = False) -> None:
        """Let go of all VMs of the project and take back its ports; files stay, and what `restore` needs (P-12).

        leave: let VMs run on if the server ends and is to leave them to the next one.

        Waits for each VM's lock and for whatever holds the project (L-7).
        """
        self._closing.add(project_id)
        try:
            async with self._hold(project_id):
                while vms := self.vms.of(project_id):
                    await asyncio.gather(*(_remove(vm, leave and self.leaving) for vm in vms))
                self.udp.release_all(self.project_owner(project_id))
                self.consoles.release_all(self.project_owner(project_id))
                self._deleted.forget_all(project_id)
                self.events.end(project_id)
                self.values.unload(project_id)
                if not self.ending:
                    records.note_closed(self, project_id)
        finally:
            self._closing.discard(project_id)

    @abstractmethod
    async def restore(self, project_id: str, directory: Path) -> None:
        """Bring back the VMs, links and ports that the project had when it was open last, and its values in stores.

        To be called by who keeps projects, before it opens one in `directory`. What cannot be brought back is told and
        stays as it is kept; VMs that the earlier server had run, and which still run, are taken over.
        """

    async def all_restored(self) -> None:
        """All projects are open again: end what an earlier server had run and no VM has taken over, free its ports."""
        if self.adopter is not None:
            await self.adopter.end_others()
        await let_go(self)

    @property
    def leaving(self) -> bool:
        """Whether the server ends, and leaves VMs that run to the next one (A-3)."""
        return self.ending and self.settings.on_exit == "keep" and not self.ends_all

    @property
    def data_dir(self) -> Path:
        """The directory in which the kernel keeps its state, in that of the projects; none of it is a plugin's."""
        return self.state.directory

    def forget(self, project_id: str) -> None:
        """The project, which is closed, is gone for good, and so is all that was kept of it."""
        records.note_gone(self, project_id)
        for pool in (self.udp, self.consoles):
            pool.release_all(self.project_owner(project_id))

    async def saved(self) -> None:
        """Wait until all leases of ports, as they are now, are kept. Raises LabError when they cannot be."""
        await self.state.write()

    @abstractmethod
    def store(self) -> Store:
        """The durable values of the plugin that is just being taken in; it finds them at `Plugin.store`."""

    @asynccontextmanager
    async def held(self, project_id: str) -> AsyncIterator[Path]:
        """Keep the project open, with no other holder beside this one; gives its directory.

        Raises NotFound when the project is not open or about to be closed: `is_closing` tells a holder to hurry.
        Requests that do not hold the project go on meanwhile.
        """
        async with self._hold(project_id):
            if self.is_closing(project_id):
                raise NotFound(f"The project {project_id} is being closed.")
            yield self.project_dir(project_id)

    @asynccontextmanager
    async def vms_held(self, project_id: str) -> AsyncIterator[None]:
        """Hold the lock of each VM of the project, taken in the order of their ids; none is created meanwhile (L-7)."""
        async with self._gate(project_id), AsyncExitStack() as locks:
            for vm in sorted(self.vms.of(project_id), key=lambda vm: vm.id):
                await locks.enter_async_context(vm.lock)
            yield

    def vms_are_held(self, project_id: str) -> Awaitable[object] | None:
        """The end of `vms_held` of the project, to be awaited; None while nothing holds them."""
        gate = self._gate(project_id)
        return _passed(gate) if gate.locked() else None

    def is_closing(self, project_id: str) -> bool:
        """True while `close` removes the project's VMs, or waits for the holder of the project."""
        return project_id in self._closing

    def moved(self, project_id: str) -> None:
        """Take note that the project has another directory: its VMs work there from now on (P-10).

        To be called within `vms_held`, in which the directory has changed.
        """
        for vm in self.vms.of(project_id):
            vm.dir = directory_of(self, project_id, vm.driver.kind, vm.id)

    async def commit(self, project_id: str) -> None:
        """Remove the directories of the VMs that were deleted since the last commit (P-11)."""
        for vm in self.vms.of(project_id):
            await _passed(vm.lock)
        await self._deleted.commit(project_id)

    @abstractmethod
    async def ask(self, method: str, path: str, body: Any = None, **parameters: Any) -> Any:
        """The answer of a route, in JSON types, asked from within: checked, locked and finished as over HTTP.

        path: as the route has it; parameters: of the path, by name. Raises LabErrors, as the route does; NotFound when
        there is no such route. A caller that holds a VM's lock must not ask for that VM.
        """

    @abstractmethod
    def parse(self, data: bytes, schema: Schema, whole: str = "The body") -> Any:
        """The JSON in `data`, taken as strictly as a request's body. Raises BadRequest unless it fits `schema`.

        whole: what it is called in the message.
        """

    def background(self, operation: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `operation` to its end, even if nothing waits for it any more."""
        task = asyncio.ensure_future(operation)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @abstractmethod
    def shutdown(self) -> None:
        """End the server in order. Raises Conflict when it was not started by a command that can end it."""

    @abstractmethod
    def reload(self) -> None:
        """Read the settings again (A-2); settings that cannot change while the server runs are logged and stay.

        Raises Conflict, with everything as before, when they are bad.
        """

    def _hold(self, project_id: str) -> asyncio.Lock:
        return self._holds.setdefault(project_id, asyncio.Lock())

    def _gate(self, project_id: str) -> asyncio.Lock:
        return self._gates.setdefault(project_id, asyncio.Lock())


async def _passed(lock: asyncio.Lock) -> None:
    async with lock:
        pass


async def _remove(vm: VM, stays: bool) -> None:
    async with vm.lock:
        if not vm.gone and stays:
            await _leave(vm)
        elif not vm.gone:
            records.note_ports_back(vm)
            await lifecycle.remove(vm, "close")


def _emulators_user(settings: Settings) -> User | None:
    try:
        return None if settings.user is None else user_named(settings.user)
    except ValueError as error:
        raise SettingsError(f"{settings.source}: 'user': {error}") from None


async def _leave(vm: VM) -> None:
    """Let go of `vm`, but let its program run on for the next server; what has none is stopped, and started by that."""
    lab = vm.lab
    vm.left = True
    if vm.session is not None and (vm.session.process is not None or hasattr(vm.session.running, "leave")):
        await vm.session.leave()
    elif vm.status != STOPPED:
        await lifecycle.attempt(vm, vm.driver.stop, at_least=vm.patience + GRACE_SECONDS)
    lab.vms.discard(vm)
    release_ports(vm)
