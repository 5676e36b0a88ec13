"""VPCS, the virtual PC simulator: the plugin and its one driver."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from labplane import Driver, Plugin, Schema, hook
from labplane_vpcs.driver import ENGINES, VPCSDriver

__all__ = ["VPCS"]


class VPCS(Plugin):
    settings: ClassVar[Mapping[str, Schema]] = {
        "engine": {"enum": [*ENGINES], "default": "auto"},
        "program": {"type": "string", "minLength": 1, "default": "vpcs"},
        "script_max_bytes": {"type": "integer", "minimum": 1024, "default": 1024 * 1024},
    }

    @hook
    def drivers(self) -> Iterable[Driver]:
        return [VPCSDriver(self.lab, self.config, self.store)]
