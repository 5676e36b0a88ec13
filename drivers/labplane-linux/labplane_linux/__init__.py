"""Linux nodes for labplane: hosts with a shell, routers with FRR, without images; and a way to the network outside."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from labplane import Driver, Plugin, Schema, hook
from labplane_linux.driver import LinuxDriver
from labplane_linux.nat import NatDriver

__all__ = ["Linux", "Nat"]

PYTHON: Mapping[str, Schema] = {"python": {"type": ["string", "null"], "default": None}}


class Linux(Plugin):
    settings: ClassVar[Mapping[str, Schema]] = PYTHON

    @hook
    def drivers(self) -> Iterable[Driver]:
        return [LinuxDriver(self.lab, self.config)]


class Nat(Plugin):
    settings: ClassVar[Mapping[str, Schema]] = {
        **PYTHON,
        "allow": {"type": "boolean", "default": False},
        "program": {"type": "string", "default": "slirp4netns"},
    }

    @hook
    def drivers(self) -> Iterable[Driver]:
        return [NatDriver(self.lab, self.config)]
