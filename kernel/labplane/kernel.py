"""Everything put together at one place: what a plugin may use."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from labplane.api.kernel_routes import own_routes, own_schemas
from labplane.api.route import Route
from labplane.api.supervised import supervised
from labplane.api.table import RouteTable
from labplane.api.vm_routes import check_driver, vm_routes, vm_schemas
from labplane.emulators.terminals import Terminals
from labplane.emulators.users import User, user_named
from labplane.errors import BadRequest, Conflict, LabError, NotFound
from labplane.events import Events
from labplane.machines import lifecycle
from labplane.machines.deleted_dirs import Leftovers
from labplane.machines.driver import Driver
from labplane.machines.vm import VM, VMs
from labplane.net.ports import PortPool, tcp_free, udp_free
from labplane.plugins.loading import OWN_DISTRIBUTION, Candidate, PluginError, Plugins
from labplane.reports import Report
from labplane.settings import Settings, SettingsError
from labplane.supervision import Supervisor
from labplane.validation import jsonbody
from labplane.validation.schemas import Schema, Schemas, complaint

log = logging.getLogger("labplane")

SHUTDOWN_SECONDS = 6.0

Waited = Callable[[], Coroutine[Any, Any, None]]


class Lab:
    """One lab: its settings, ports, VMs, plugins and routes. Two labs in one process share nothing.

    settings:  as they are now; a reload replaces them.
    vms:       the table of VMs.
    udp:       UDP ports for links.
    consoles:  TCP ports for consoles.
    drivers:   the driver of each kind.
    terminals: starts emulators on ptys.
    user:      whom they run as, None for the server's own.
    events:    what happens, told to whoever listens.
    """

    def __init__(self, settings: Settings, candidates: Iterable[Candidate] = ()) -> None:
        self.settings = settings
        self.vms = VMs()
        self.udp = PortPool("UDP port", *settings.udp_range, udp_free, settings.unclaimed_udp_seconds)
        self.consoles = PortPool("console port", *settings.console_range, tcp_free)
        self.terminals = Terminals()
        self.user = _emulators_user(settings)
        self.schemas = Schemas()
        self.routes = RouteTable(self)
        self.events = Events()
        self.supervisor = Supervisor(lambda: self.settings.driver_seconds, self.events)
        self.drivers: dict[str, Driver] = {}
        self.owners: dict[str, Report] = {}
        self.leftovers = Leftovers()
        self.read_settings: Callable[[], Settings] = lambda: self.settings
        self.stop_server: Callable[[], None] | None = None
        self._starters: list[tuple[Report | None, Waited]] = []
        self._enders: list[tuple[Report | None, Waited]] = []
        self._newcomer: Report | None = None
        self._closing: set[str] = set()
        self._holds: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.plugins = Plugins(self)
        self.schemas.add(own_schemas())
        self.compile(None, [], own_routes(self), self.schemas)()
        self.plugins.load(candidates, only=settings.only_plugins, disabled=settings.disabled, strict=settings.strict)
        self._check_plugin_tables(settings)

    @property
    def max_body(self) -> int:
        """The longest request body that is read, in bytes."""
        return self.settings.max_body

    @property
    def max_depth(self) -> int:
        """The deepest nesting of a request body."""
        return self.settings.max_depth

    # What plugins call

    def at_start(self, starter: Waited) -> None:
        """Have `starter` awaited when the server starts, before its first request."""
        self._starters.append((self._newcomer, starter))

    def at_end(self, ender: Waited) -> None:
        """Have `ender` awaited when the server ends, after its last request."""
        self._enders.append((self._newcomer, ender))

    def project_dir(self, project_id: str) -> Path:
        """Where the project's files live. Raises NotFound unless a plugin has that project open."""
        directory: Path | None = self.plugins.hook.project_dir(project_id=project_id)
        if directory is None:
            raise NotFound(f"There is no open project {project_id}; POST /v1/projects opens one.")
        return directory

    def project_owner(self, project_id: str) -> str:
        """The owner under which a project itself holds leases: ports that were asked for and are not yet used."""
        return f"project {project_id}"

    async def close(self, project_id: str) -> None:
        """Remove all VMs of the project and take back its ports; files stay (P-12).

        Waits for each VM's lock and for who holds the project (L-7).
        """
        self._closing.add(project_id)
        try:
            async with self._hold(project_id):
                while vms := self.vms.of(project_id):
                    await asyncio.gather(*(self._remove(vm) for vm in vms))
                self.udp.release_all(self.project_owner(project_id))
                self.leftovers.forget_all(project_id)
                self.events.end(project_id)
        finally:
            self._closing.discard(project_id)

    @asynccontextmanager
    async def held(self, project_id: str) -> AsyncIterator[Path]:
        """Keep the project open, and to yourself among those who hold it; its directory. `is_closing` asks to hurry.

        Raises NotFound when it is not open or about to be closed. Requests that do not hold it go on meanwhile.
        """
        async with self._hold(project_id):
            if self.is_closing(project_id):
                raise NotFound(f"The project {project_id} is being closed.")
            yield self.project_dir(project_id)

    def moved(self, project_id: str) -> None:
        """The answer of `project_dir` for that project has changed: its VMs work there from now on (P-10)."""
        for vm in self.vms.of(project_id):
            vm.dir = self.vm_dir(project_id, vm.driver.kind, vm.id)

    async def commit(self, project_id: str) -> None:
        """Remove the directories of the VMs that were deleted since the last commit (P-11)."""
        for vm in self.vms.of(project_id):
            async with vm.lock:
                pass
        await self.leftovers.commit(project_id)

    async def ask(self, method: str, path: str, body: Any = None, **parameters: Any) -> Any:
        """What a route answers, in JSON types, asked from within: checked, locked and finished as over HTTP.

        path: as the route has it; parameters: of the path, by name. Raises LabErrors, as the route does; NotFound when
        there is no such route. Whoever holds a VM's lock must not ask for that VM.
        """
        return await self.routes.ask(method, path, {} if body is None else body, parameters)

    def parse(self, data: bytes, schema: Schema) -> Any:
        """The JSON in `data`, taken as strictly as a request's body. Raises BadRequest unless it fits `schema`."""
        value = jsonbody.parse(data, self.max_depth)
        if reason := complaint(self.schemas.compile(schema, "what is parsed"), value):
            raise BadRequest(f"It does not fit its schema: {reason}.")
        return value

    def background(self, operation: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `operation` to its end, whoever waits for it."""
        task = asyncio.ensure_future(operation)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def shutdown(self) -> None:
        """End the server in order. Raises Conflict when nobody said how."""
        if self.stop_server is None:
            raise Conflict("This server was not started by labplane serve and cannot stop itself.")
        self.stop_server()

    def reload(self) -> None:
        """Read the settings again (A-2); what cannot change while the server runs is logged and stays.

        Raises Conflict, with everything as before, when they are bad.
        """
        try:
            fresh = self.read_settings()
            self._check_plugin_tables(fresh)
            self.plugins.reconfigure(fresh.plugins)
        except (SettingsError, PluginError) as error:
            raise Conflict(f"The settings are not reloaded: {error}") from None
        kept = {name: getattr(self.settings, name) for name in Settings.FIXED}
        for name, value in kept.items():
            if value != getattr(fresh, name):
                log.warning("the setting %s takes effect at the next start", name)
        self.settings = replace(fresh, **kept)
        self.udp.resize(*fresh.udp_range)
        self.udp.patience = fresh.unclaimed_udp_seconds
        self.consoles.resize(*fresh.console_range)

    def is_closing(self, project_id: str) -> bool:
        """True while `close` removes the project's VMs, or waits for who holds it."""
        return project_id in self._closing

    # What the kernel calls

    async def start(self) -> None:
        """Await what plugins left with `at_start`.

        What a third party's fails at is its own fault, unless the settings are strict; labplane's own must not fail.
        """
        self.supervisor.watch()
        for owner, starter in self._starters:
            if owner is None:
                await starter()
                continue
            try:
                await self.supervisor.call(owner, "what it left for the start", starter())
            except LabError:
                if self.settings.strict or owner.distribution == OWN_DISTRIBUTION:
                    raise

    async def end(self) -> None:
        """Await what plugins left with `at_end`, then remove every VM; what does not end in time is killed."""
        try:
            async with asyncio.timeout(SHUTDOWN_SECONDS):
                for owner, ender in self._enders:
                    try:
                        await (ender() if owner is None else self.supervisor.call(owner, "its farewell", ender()))
                    except Exception as error:
                        log.error("what was left for the end failed: %s", error)
                for project_id in {vm.project_id for vm in self.vms}:
                    await self.close(project_id)
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            log.error("not everything ended within %s seconds; killing what is left", SHUTDOWN_SECONDS)
        finally:
            self.events.close()
            self.supervisor.unwatch()
            self.terminals.kill_all()

    def vm_dir(self, project_id: str, kind: str, vm_id: str) -> Path:
        """A VM's working directory (C-3)."""
        return self.project_dir(project_id).joinpath("project-files", kind, vm_id)

    def require_project(self, project_id: str) -> None:
        """Raise NotFound unless the project is open."""
        self.project_dir(project_id)

    def find_vm(self, project_id: str | None, vm_id: str) -> VM:
        """The VM of that id, in that project if one is given. Raises NotFound."""
        vm = self.vms.get(vm_id)
        if vm is None or (project_id is not None and vm.project_id != project_id):
            raise NotFound(f"There is no VM {vm_id}" + (f" in project {project_id}." if project_id else "."))
        return vm

    def compile(
        self, owner: Report | None, drivers: Iterable[Driver], routes: Iterable[Route], schemas: Schemas
    ) -> Callable[[], None]:
        """Check what a plugin brought against all that is there; returns what takes it in.

        owner:   the plugin, None for the kernel itself.
        schemas: the registry with the plugin's own added.

        Raises ValueError with the reason.
        """
        fresh: dict[str, Driver] = {}
        all_routes = [route if owner is None else supervised(self.supervisor, owner, route) for route in routes]
        for driver in drivers:
            check_driver(driver, self.drivers | fresh)
            fresh[driver.kind] = driver
            schemas.add(vm_schemas(driver))
            all_routes += vm_routes(self, driver)
        compiled = self.routes.compile(all_routes, schemas)

        def merge() -> None:
            self.drivers.update(fresh)
            if owner is not None:
                self.owners.update(dict.fromkeys(fresh, owner))
            self.schemas.become(schemas)
            self.routes.add(compiled)

        return merge

    @contextmanager
    def all_or_nothing(self, newcomer: Report) -> Iterator[None]:
        """Put down to `newcomer` what is left with `at_start` and `at_end` meanwhile; forget it, if it fails."""
        starters, enders = len(self._starters), len(self._enders)
        self._newcomer = newcomer
        try:
            yield
        except BaseException:
            del self._starters[starters:], self._enders[enders:]
            raise
        finally:
            self._newcomer = None

    def _hold(self, project_id: str) -> asyncio.Lock:
        return self._holds.setdefault(project_id, asyncio.Lock())

    async def _remove(self, vm: VM) -> None:
        async with vm.lock:
            if not vm.gone:
                await lifecycle.remove(vm)

    def _check_plugin_tables(self, settings: Settings) -> None:
        known = sorted({report.name for report in self.plugins.reports})
        for key, names in (
            ("plugins", settings.plugins),
            ("only_plugins", settings.only_plugins),
            ("disabled", settings.disabled),
        ):
            for name in names:
                if name not in known:
                    raise SettingsError(
                        f"{settings.source}: '{key}' names {name!r}, which is no installed plugin; "
                        f"installed: {', '.join(known) or 'none'}"
                    )


def _emulators_user(settings: Settings) -> User | None:
    try:
        return None if settings.user is None else user_named(settings.user)
    except ValueError as error:
        raise SettingsError(f"{settings.source}: 'user': {error}") from None
