"""`Kernel`: a lab, put together at one place."""

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from labplane.api.kernel_routes import kernel_routes, kernel_schemas
from labplane.api.openapi import document
from labplane.api.route import Route
from labplane.api.supervised import supervised
from labplane.api.table import RouteTable
from labplane.api.vm_routes import check_driver, vm_routes, vm_schemas
from labplane.errors import BadRequest, Conflict, LabError, NotFound
from labplane.machines import restoring
from labplane.machines.driver import Driver
from labplane.machines.kind import Kind
from labplane.machines.lab import Lab, Waited
from labplane.machines.vm import STOPPED, VM
from labplane.plugins.loading import OWN_DISTRIBUTION, Candidate, PluginError, Plugins
from labplane.programs.adoption import Adoption
from labplane.programs.process_driver import ProcessDriver
from labplane.reports import Report
from labplane.settings import Settings, SettingsError
from labplane.state.store import Store
from labplane.supervision import Supervisor
from labplane.validation import jsonbody
from labplane.validation.schemas import Schema, Schemas

log = logging.getLogger("labplane")

SHUTDOWN_SECONDS = 6.0  # beside the patience of the VMs


class Kernel(Lab):
    """A lab with all that makes it run: plugins, routes, schemas, the calls into drivers. The server serves it.

    settings:   see `Lab`, as for all that is not named here.
    candidates: the plugins to take in.

    read_settings: reads the settings again for `reload`.
    stop_server:   ends the server for `shutdown`; None when there is none.
    """

    def __init__(self, settings: Settings, candidates: Iterable[Candidate] = ()) -> None:
        super().__init__(settings)
        self.schemas = Schemas()
        self.routes = RouteTable(self)
        self.supervisor = Supervisor(lambda: self.settings.driver_seconds, self.events)
        self.kinds: dict[str, Kind] = {}
        self.read_settings: Callable[[], Settings] = lambda: self.settings
        self.stop_server: Callable[[], None] | None = None
        self._starters: list[tuple[Report | None, Waited]] = []
        self._enders: list[tuple[Report | None, Waited]] = []
        self._newcomer: Report | None = None
        self.adopter = Adoption(self)
        self.plugins = Plugins(self, self)
        self.schemas.add(kernel_schemas())
        routes = kernel_routes(
            lambda: self.settings,
            lambda agent: self.plugins.hook.api_version(user_agent=agent),
            lambda: self.plugins.reports,
            self.document,
        )
        self.compile(None, [], routes, self.schemas)()
        self.plugins.load(candidates, only=settings.only_plugins, disabled=settings.disabled, strict=settings.strict)
        self._check_plugin_tables(settings)
        self._note_unconfined()

    @property
    def drivers(self) -> Mapping[str, Driver]:
        return {name: kind.driver for name, kind in self.kinds.items()}

    @property
    def max_body(self) -> int:
        """The longest request body that is read, in bytes."""
        return self.settings.max_body

    @property
    def max_depth(self) -> int:
        """The deepest nesting of a request body."""
        return self.settings.max_depth

    def at_start(self, starter: Waited) -> None:
        self._starters.append((self._newcomer, starter))

    def at_end(self, ender: Waited) -> None:
        self._enders.append((self._newcomer, ender))

    def project_dir(self, project_id: str) -> Path:
        directory: Path | None = self.plugins.hook.project_dir(project_id=project_id)
        if directory is None:
            raise NotFound(f"There is no open project {project_id}; POST /v1/projects opens one.")
        return directory

    def image_path(self, kind: str, name: str) -> Path:
        path: Path | None = self.plugins.hook.image_path(kind=kind, name=name)
        if path is None:
            raise Conflict("No plugin keeps images here; the plugin 'images' of labplane does, unless it is disabled.")
        return path

    async def ask(self, method: str, path: str, body: Any = None, **parameters: Any) -> Any:
        return await self.routes.ask(method, path, {} if body is None else body, parameters)

    def unknown(self, path: str) -> NotFound:
        """The answer to a request for a path that no route has: it says what is nearest to it."""
        said = f"There is no route {path[:200]}."
        if found := re.match(r"/(v[023])(/|\Z)", path):
            return NotFound(f"{said} This server speaks version 1 of the GNS3 API, below /v1, and not {found[1]}.")
        kind = re.match(r"/v1/projects/[^/]+/([^/]+)/vms(/|\Z)", path)
        if kind is not None and kind[1] not in self.kinds:
            return NotFound(
                f"{said} VMs are of the kinds {', '.join(sorted(self.kinds)) or 'that plugins bring'} here."
            )
        return NotFound(said + self.routes.nearest(path[:200]))

    def parse(self, data: bytes, schema: Schema, whole: str = "The body") -> Any:
        value = jsonbody.parse(data, self.max_depth, whole)
        if reason := self.schemas.compile(schema, "what is parsed").complaint(value):
            raise BadRequest(f"{whole} does not fit its schema: {reason}.")
        return value

    def shutdown(self) -> None:
        if self.stop_server is None:
            raise Conflict("This server was not started by labplane serve and cannot stop itself.")
        self.ends_all = True
        self.stop_server()

    def reload(self) -> None:
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
        self._note_unconfined()

    def store(self) -> Store:
        assert self._newcomer is not None, "plugins have stores"  # noqa: S101
        return Store(self.values, self._newcomer.name)

    async def restore(self, project_id: str, directory: Path) -> None:
        try:
            await restoring.restore(self, self.kinds, self._deleted, project_id, directory)
        except BaseException:
            await self.close(project_id, leave=True)
            raise

    async def start(self) -> None:
        """Open the state of the lab, then await the starters of plugins (`at_start`).

        When one of a third party fails, that is a fault of its plugin, unless the settings are strict; labplane's own
        must not fail.
        """
        await self.state.open()
        await restoring.recall(self)
        self.supervisor.watch()
        for owner, starter in self._starters:
            if owner is None:
                await starter()
                continue
            try:
                await self.supervisor.call(owner, "its starter", starter())
            except LabError:
                if self.settings.strict or owner.distribution == OWN_DISTRIBUTION:
                    raise
        await self.all_restored()
        self.started = True

    async def end(self) -> None:
        """Await the enders of plugins (`at_end`), then remove every VM; programs that do not end in time are killed."""
        self.ending = True
        allowed = SHUTDOWN_SECONDS + max((vm.patience for vm in self.vms if vm.status != STOPPED), default=0.0)
        try:
            async with asyncio.timeout(allowed):
                for owner, ender in self._enders:
                    try:
                        await (ender() if owner is None else self._ended(owner, ender(), allowed))
                    except Exception as error:
                        log.error("an ender failed: %s", error)
                await asyncio.gather(*(self.close(project_id) for project_id in {vm.project_id for vm in self.vms}))
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            log.error("not everything ended within %g seconds; killing what is left", allowed)
        finally:
            self.events.close()
            self.supervisor.unwatch()
            if self.leaving:
                self.engine.leave()
                self.terminals.leave()
            else:
                await self.engine.end()
                await self.terminals.end()
            self.udp.close()
            self.consoles.close()
            await self.state.close()

    async def _ended(self, owner: Report, ender: Coroutine[Any, Any, None], allowed: float) -> None:
        await self.supervisor.call(owner, "its ender", ender, at_least=allowed)

    async def lacks(self, kind: str) -> str | None:
        """What this host lacks for VMs of that kind, as their start would say it; None when they can start."""
        found = self.kinds[kind]
        try:
            await self.supervisor.call(found.owner, f"check of {kind}", found.driver.check())
        except LabError as error:
            return str(error)
        return None

    def document(self) -> dict[str, Any]:
        """The OpenAPI document of the lab's routes, in JSON types."""
        return document(self.routes.routes, self.schemas, with_token=self.settings.auth == "token")

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
        """Check the drivers, routes and schemas of a plugin against all others; returns a function that adds them.

        owner:   the plugin, None for the kernel itself.
        schemas: the registry with the plugin's own added.

        Raises ValueError with the reason.
        """
        fresh: dict[str, Kind] = {}
        all_routes = [route if owner is None else supervised(self.supervisor, owner, route) for route in routes]
        for driver in drivers:
            check_driver(driver, self.kinds | fresh)
            assert owner is not None, "drivers come from plugins"  # noqa: S101
            kind = fresh[driver.kind] = Kind(driver, owner, self.supervisor)
            schemas.add(vm_schemas(driver))
            all_routes += vm_routes(self, kind, self._deleted)
        compiled = self.routes.compile(all_routes, schemas)

        def merge() -> None:
            self.kinds.update(fresh)
            self.schemas.take_over(schemas)
            self.routes.add(compiled)

        return merge

    @contextmanager
    def all_or_nothing(self, newcomer: Report) -> Iterator[None]:
        """Put the starters and enders that are left meanwhile down to `newcomer`; forget them if the block fails."""
        starters, enders = len(self._starters), len(self._enders)
        self._newcomer = newcomer
        try:
            yield
        except BaseException:
            del self._starters[starters:], self._enders[enders:]
            raise
        finally:
            self._newcomer = None

    def _note_unconfined(self) -> None:
        """Write down in the plugins' reports the kinds whose programs are not confined with these settings."""
        for report in self.plugins.reports:
            report.unconfined = sorted(
                name
                for name, kind in self.kinds.items()
                if kind.owner is report and isinstance(kind.driver, ProcessDriver) and not kind.driver.is_confined
            )

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
