"""labplane: a small server that runs emulated network machines. These names are the face for authors of plugins."""

from labplane.api.pages import page_routes
from labplane.api.route import Request, Route
from labplane.emulators.confinement import Needs, confine
from labplane.emulators.programs import find_program
from labplane.emulators.session import Running, Session
from labplane.emulators.terminals import Process, Terminals
from labplane.errors import BadRequest, Conflict, Forbidden, LabError, NotFound, TooLarge, Unavailable
from labplane.events import Event, Events, Subscription
from labplane.machines.archive_part import ArchivePart, Arrival
from labplane.machines.deleted_dirs import remove_tree
from labplane.machines.driver import ConsoleDriver, Driver
from labplane.machines.lab import Lab
from labplane.machines.lifecycle import plug, unplug
from labplane.machines.ports import VMPort
from labplane.machines.process_driver import ProcessDriver
from labplane.machines.tools import run_tool
from labplane.machines.udp_ends import open_udp
from labplane.machines.vm import VM
from labplane.machines.vms import VMs
from labplane.measures import Measured, Measures
from labplane.net.nios import NIO_TAP, NIO_UDP
from labplane.net.ports import PortPool
from labplane.net.rhost import resolve_rhost
from labplane.plugins.contract import Plugin, hook
from labplane.state.store import Store
from labplane.validation.schemas import Schema

__all__ = [
    "NIO_TAP",
    "NIO_UDP",
    "VM",
    "ArchivePart",
    "Arrival",
    "BadRequest",
    "Conflict",
    "ConsoleDriver",
    "Driver",
    "Event",
    "Events",
    "Forbidden",
    "Lab",
    "LabError",
    "Measured",
    "Measures",
    "Needs",
    "NotFound",
    "Plugin",
    "PortPool",
    "Process",
    "ProcessDriver",
    "Request",
    "Route",
    "Running",
    "Schema",
    "Session",
    "Store",
    "Subscription",
    "Terminals",
    "TooLarge",
    "Unavailable",
    "VMPort",
    "VMs",
    "confine",
    "find_program",
    "hook",
    "open_udp",
    "page_routes",
    "plug",
    "remove_tree",
    "resolve_rhost",
    "run_tool",
    "unplug",
]
