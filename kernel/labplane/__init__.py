"""labplane: a small server that runs emulated network machines. What stands here is the face for plugin authors."""

from labplane.confinement import Needs
from labplane.drivers import Driver, ProcessDriver
from labplane.errors import BadRequest, Conflict, Forbidden, LabError, NotFound, TooLarge, Unavailable
from labplane.events import Event, Subscription
from labplane.hookspecs import Plugin, hook
from labplane.lab import Lab
from labplane.links import NIO_TAP, NIO_UDP
from labplane.pages import page_routes
from labplane.programs import find_program
from labplane.rhost import resolve_rhost
from labplane.routing import Request, Route
from labplane.schemas import Schema
from labplane.sessions import Session
from labplane.udp_ends import open_udp
from labplane.vms import VM

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
