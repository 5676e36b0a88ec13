"""Loading plugins: each is taken in whole or not at all, and has a report."""

import difflib
import inspect
import logging
import textwrap
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Protocol

import pluggy

from labplane.api.route import Route
from labplane.machines.archive_part import ArchivePart
from labplane.machines.driver import Driver
from labplane.machines.lab import Lab
from labplane.plugins.contract import HOOKS, NAMESPACE, Hooks, Plugin
from labplane.programs.adoption import survives
from labplane.reports import Report
from labplane.validation.schemas import Schema, SchemaError, Schemas, check

log = logging.getLogger("labplane")

API = "labplane.v1"
OWN_DISTRIBUTION = "labplane"


@dataclass(frozen=True)
class Candidate:
    """A plugin that can be loaded: its name, its distribution, and a function that gives its class."""

    name: str
    load: Callable[[], object]
    distribution: str = "unknown"
    version: str = "0"
    api: str = API

    @property
    def source(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()


class PluginError(Exception):
    """A plugin is refused; the text says why."""


def installed() -> list[Candidate]:
    """The plugins of installed distributions, labplane's own first, then by distribution and name."""
    everything = entry_points()
    groups = sorted(group for group in everything.groups if group.startswith("labplane.v"))
    found = [_candidate(point) for group in groups for point in everything.select(group=group)]
    return sorted(found, key=lambda one: (one.distribution != OWN_DISTRIBUTION, one.distribution, one.name))


def _candidate(point: EntryPoint) -> Candidate:
    if point.dist is None:
        return Candidate(point.name, point.load, api=point.group)
    return Candidate(point.name, point.load, point.dist.name, point.dist.version, point.group)


class Host(Protocol):
    """The part of the kernel that adds the drivers, routes and schemas of plugins."""

    schemas: Schemas

    def compile(
        self, owner: Report | None, drivers: Iterable[Driver], routes: Iterable[Route], schemas: Schemas
    ) -> Callable[[], None]: ...

    def all_or_nothing(self, newcomer: Report) -> AbstractContextManager[None]: ...


class Plugins:
    """The plugins of one lab.

    reports: one for each candidate, in order.
    """

    def __init__(self, lab: Lab, host: Host) -> None:
        self.reports: list[Report] = []
        self.config_schemas: dict[str, Mapping[str, Schema]] = {}
        self._lab = lab
        self._host = host
        self._configs: dict[str, dict[str, Any]] = {}
        self._manager = pluggy.PluginManager(NAMESPACE)
        self._manager.add_hookspecs(Hooks)
        if lab.settings.trace_plugins:
            self._manager.add_hookcall_monitoring(_trace_call, _trace_answer)
        self.hook = self._manager.hook

    @property
    def active(self) -> list[Report]:
        """The reports of the plugins that were taken in."""
        return [report for report in self.reports if report.state == "active"]

    def load(
        self, candidates: Iterable[Candidate], *, only: Collection[str], disabled: Collection[str], strict: bool
    ) -> None:
        """Take in each candidate, or leave it out with a report that says why.

        only:   the names of the plugins to take in; all when it is empty.
        strict: raise PluginError instead of leaving a plugin out.
        """
        for candidate in candidates:
            report = Report(candidate.name, "failed", candidate.distribution, candidate.version, candidate.api)
            self.reports.append(report)
            if candidate.api != API:
                report.state = "other API version"
                report.error = f"made for {candidate.api}; this labplane has {API}"
            elif candidate.name in disabled or (only and candidate.name not in only):
                report.state = "disabled"
            else:
                try:
                    self._take_in(candidate, report)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # a plugin may even call sys.exit
                    report.error = _cause(error)
                    log.error("plugin %s of %s is left out: %s", candidate.name, candidate.source, report.error)
                    log.debug("plugin %s", candidate.name, exc_info=error)
                    if strict:
                        raise PluginError(f"{candidate.name} of {candidate.source}: {report.error}") from error

    def reconfigure(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        """Give the active plugins other settings, all or none. Raises PluginError."""
        fresh = {name: self._config(name, schemas, configs) for name, schemas in self.config_schemas.items()}
        for name, config in fresh.items():
            self._configs[name].clear()
            self._configs[name].update(config)

    def _take_in(self, candidate: Candidate, report: Report) -> None:
        name = candidate.name
        other = self._manager.get_plugin(name)
        if other is not None:
            owner = next(one for one in self.reports if one.name == name and one.state == "active")
            raise PluginError(f"the name {name!r} is taken by {owner.source}")
        cls = candidate.load()
        if not (isinstance(cls, type) and issubclass(cls, Plugin)):
            given = cls.__qualname__ if isinstance(cls, type) else f"an object of type {type(cls).__name__}"
            raise PluginError(f"{given} is not a subclass of labplane.Plugin")
        hooks = _hooks(cls)
        for key, schema in cls.settings.items():
            check(schema, f"the setting {key}")
        config = self._config(name, cls.settings, self._lab.settings.plugins)
        with self._host.all_or_nothing(report):
            plugin = cls(self._lab, MappingProxyType(config))
            try:
                self._register(plugin, report)
                schemas = self._host.schemas.copy()
                schemas.add(self._ask("schemas", plugin, Mapping) if "schemas" in hooks else {})
                drivers = list(self._ask("drivers", plugin, Iterable) if "drivers" in hooks else ())
                routes = list(self._ask("routes", plugin, Iterable) if "routes" in hooks else ())
                parts = list(self._ask("archive_parts", plugin, Iterable) if "archive_parts" in hooks else ())
                if strange := [part for part in parts if not isinstance(part, ArchivePart)]:
                    raise PluginError(f"archive_parts() gives {strange[0]!r}, which is no ArchivePart")
                merge = self._host.compile(report, drivers, routes, schemas)
            except BaseException:
                if self._manager.has_plugin(name):  # register may have stopped half-way
                    self._manager.unregister(plugin, name)
                raise
            merge()
        self._lab.archive_parts += parts
        self._configs[name] = config
        self.config_schemas[name] = cls.settings
        report.state = "active"
        report.hooks = hooks
        report.kinds = [driver.kind for driver in drivers]
        report.survives = [driver.kind for driver in drivers if survives(driver)]
        report.routes = [f"{route.method} {route.path}" for route in routes]

    def _register(self, plugin: Plugin, report: Report) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._manager.register(plugin, report.name)
            self._manager.check_pending()
        for warning in caught:
            report.warnings.append(str(warning.message))
            log.warning("%s: %s", report, warning.message)

    def _ask(self, name: str, plugin: Plugin, wanted: type) -> Any:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        answers = self._manager.subset_hook_caller(name, others)()
        answer = answers[0] if answers else None
        if not isinstance(answer, wanted) or isinstance(answer, str):
            form = "a mapping" if wanted is Mapping else "an iterable"
            given = "None" if answer is None else type(answer).__name__
            raise PluginError(f"{name}() must give {form}, not {given}")
        return answer

    def _config(self, name: str, schemas: Mapping[str, Schema], tables: Mapping[str, Any]) -> dict[str, Any]:
        given = tables.get(name, {})
        whole: Schema = {"type": "object", "properties": schemas, "additionalProperties": False}
        if reason := self._host.schemas.compile(whole, f"the settings of {name}").complaint(given, "the table"):
            raise PluginError(f"[plugins.{name}] in {self._lab.settings.source}: {reason}")
        defaults = {key: schema["default"] for key, schema in schemas.items() if "default" in schema}
        return defaults | dict(given)


def _hooks(cls: type[Plugin]) -> list[str]:
    """The names of the hooks that `cls` implements. Raises PluginError for an obvious mistake."""
    found = []
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        marked = getattr(method, f"{NAMESPACE}_impl", None) is not None
        if marked and name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, 1)
            advice = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(HOOKS)}"
            raise PluginError(f"there is no hook {name!r}; {advice}")
        if not marked and name in HOOKS and method is not vars(Hooks)[name]:
            raise PluginError(f"{name}() is not marked with @labplane.hook, so it would never be asked")
        if marked and (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)):
            raise PluginError(f"the hook {name} is async; hooks are plain functions and say what there is")
        if marked:
            found.append(name)
    return found


def _trace_call(hook: str, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
    log.info("trace: %s asks %s", _call(hook, arguments), _asked(implementations))


def _trace_answer(
    outcome: pluggy.Result[Any], hook: str, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]
) -> None:
    said = f"raised {outcome.exception!r}" if outcome.exception else f"gave {_readable(outcome.get_result())}"
    said = textwrap.shorten(said, 200, placeholder=" …")
    log.info("trace: %s of %s %s", _call(hook, arguments), _asked(implementations), said)


def _call(hook: str, arguments: Mapping[str, Any]) -> str:
    return f"{hook}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def _asked(implementations: Sequence[pluggy.HookImpl]) -> str:
    """The names of the plugins, in the order in which pluggy asks them."""
    return ", ".join(one.plugin_name for one in reversed(implementations)) or "nobody"


def _readable(answer: object) -> str:
    """The answer of a hook, by name: routes, drivers and schemas have long representations."""
    match answer:
        case Route():
            return f"{answer.method} {answer.path}"
        case Driver():
            return answer.kind
        case Mapping() | list() | tuple():
            return ", ".join(map(_readable, answer)) or "nothing"
        case str():
            return answer
        case _:
            return repr(answer)


def _cause(error: BaseException) -> str:
    if isinstance(error, PluginError | SchemaError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
