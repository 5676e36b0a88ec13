"""labplane: a small server that runs emulated network machines. What stands here is the face for plugin authors."""

from labplane.api.pages import page_routes
from labplane.api.route import Request, Route
from labplane.emulators.confinement import Needs
from labplane.emulators.programs import find_program
from labplane.emulators.session import Session
from labplane.errors import BadRequest, Conflict, Forbidden, LabError, NotFound, TooLarge, Unavailable
from labplane.events import Event, Subscription
from labplane.kernel import Lab
from labplane.machines.driver import Driver, ProcessDriver
from labplane.machines.udp_ends import open_udp
from labplane.machines.vm import VM
from labplane.net.nios import NIO_TAP, NIO_UDP
from labplane.net.rhost import resolve_rhost
from labplane.plugins.contract import Plugin, hook
from labplane.validation.schemas import Schema

__all__ = [
    "NIO_TAP",
    "NIO_UDP",
    "VM",
    "BadRequest",
    "Conflict",
    "Driver",
    "Event",
    "Forbidden",
    "Lab",
    "LabError",
    "Needs",
    "NotFound",
    "Plugin",
    "ProcessDriver",
    "Request",
    "Route",
    "Schema",
    "Session",
    "Subscription",
    "TooLarge",
    "Unavailable",
    "find_program",
    "hook",
    "open_udp",
    "page_routes",
    "resolve_rhost",
]
