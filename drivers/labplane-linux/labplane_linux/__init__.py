"""Linux nodes for labplane: hosts with a shell, and routers with FRR, without images."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from labplane import Driver, Plugin, Schema, hook
from labplane_linux.driver import LinuxDriver

__all__ = ["Linux"]


class Linux(Plugin):
    settings: ClassVar[Mapping[str, Schema]] = {"python": {"type": ["string", "null"], "default": None}}

    @hook
    def drivers(self) -> Iterable[Driver]:
        return [LinuxDriver(self.lab, self.config)]
