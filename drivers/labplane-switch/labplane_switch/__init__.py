"""Ethernet learning switches for labplane: the plugin and its one driver."""

from collections.abc import Iterable

from labplane import Driver, Plugin, hook
from labplane_switch.driver import SwitchDriver

__all__ = ["Switches"]


class Switches(Plugin):
    @hook
    def drivers(self) -> Iterable[Driver]:
        return [SwitchDriver(self.lab)]
