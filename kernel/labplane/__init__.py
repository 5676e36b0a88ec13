"""labplane: a small server that runs emulated network machines. These names are the face for authors of plugins.

Each is imported when it is first used: commands that only ask a server start five times as fast without the server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labplane.api.pages import page_routes as page_routes
    from labplane.api.route import Request as Request, Route as Route
    from labplane.emulators.confinement import Needs as Needs, confine as confine
    from labplane.emulators.limits import Limits as Limits
    from labplane.emulators.programs import find_program as find_program
    from labplane.emulators.session import Running as Running, Session as Session
    from labplane.emulators.terminals import Process as Process, Terminals as Terminals
    from labplane.errors import (
        BadRequest as BadRequest,
        Conflict as Conflict,
        Forbidden as Forbidden,
        LabError as LabError,
        NotFound as NotFound,
        TooLarge as TooLarge,
        Unavailable as Unavailable,
    )
    from labplane.events import Event as Event, Events as Events, Subscription as Subscription
    from labplane.machines.archive_part import ArchivePart as ArchivePart, Arrival as Arrival
    from labplane.machines.deleted_dirs import remove_tree as remove_tree
    from labplane.machines.driver import ConsoleDriver as ConsoleDriver, Driver as Driver
    from labplane.machines.engine_driver import (
        EngineDriver as EngineDriver,
        recover_in_engine as recover_in_engine,
        run_in_engine as run_in_engine,
    )
    from labplane.machines.lab import Lab as Lab
    from labplane.machines.lifecycle import plug as plug, unplug as unplug
    from labplane.machines.ports import VMPort as VMPort
    from labplane.machines.udp_ends import open_udp as open_udp
    from labplane.machines.vm import VM as VM
    from labplane.machines.vms import VMs as VMs
    from labplane.measures import Measured as Measured, Measures as Measures
    from labplane.net.nios import NIO_TAP as NIO_TAP, NIO_UDP as NIO_UDP
    from labplane.net.ports import PortPool as PortPool
    from labplane.net.rhost import resolve_rhost as resolve_rhost
    from labplane.plugins.contract import Plugin as Plugin, hook as hook
    from labplane.programs.companions import Companion as Companion
    from labplane.programs.process_driver import ProcessDriver as ProcessDriver
    from labplane.programs.tools import run_tool as run_tool
    from labplane.state.store import Store as Store
    from labplane.validation.schemas import Schema as Schema

_HOMES = {
    "api.pages": ("page_routes",),
    "api.route": ("Request", "Route"),
    "emulators.confinement": ("Needs", "confine"),
    "emulators.limits": ("Limits",),
    "emulators.programs": ("find_program",),
    "emulators.session": ("Running", "Session"),
    "emulators.terminals": ("Process", "Terminals"),
    "errors": ("BadRequest", "Conflict", "Forbidden", "LabError", "NotFound", "TooLarge", "Unavailable"),
    "events": ("Event", "Events", "Subscription"),
    "machines.archive_part": ("ArchivePart", "Arrival"),
    "programs.companions": ("Companion",),
    "machines.deleted_dirs": ("remove_tree",),
    "machines.driver": ("ConsoleDriver", "Driver"),
    "machines.engine_driver": ("EngineDriver", "recover_in_engine", "run_in_engine"),
    "machines.lab": ("Lab",),
    "machines.lifecycle": ("plug", "unplug"),
    "machines.ports": ("VMPort",),
    "programs.process_driver": ("ProcessDriver",),
    "programs.tools": ("run_tool",),
    "machines.udp_ends": ("open_udp",),
    "machines.vm": ("VM",),
    "machines.vms": ("VMs",),
    "measures": ("Measured", "Measures"),
    "net.nios": ("NIO_TAP", "NIO_UDP"),
    "net.ports": ("PortPool",),
    "net.rhost": ("resolve_rhost",),
    "plugins.contract": ("Plugin", "hook"),
    "state.store": ("Store",),
    "validation.schemas": ("Schema",),
}
__all__ = [name for names in _HOMES.values() for name in names]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        for module, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f"labplane.{module}"), name)
                return value
        raise AttributeError(f"module 'labplane' has no attribute {name!r}")
