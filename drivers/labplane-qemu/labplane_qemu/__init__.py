"""QEMU machines for labplane: routers, firewalls and servers from images."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from labplane import Driver, Lab, Plugin, Route, Schema, hook
from labplane_qemu.driver import QemuDriver
from labplane_qemu.programs import Programs
from labplane_qemu.routes import SCHEMAS, Routes

__all__ = ["Qemu"]


class Qemu(Plugin):
    settings: ClassVar[Mapping[str, Schema]] = {
        "kvm": {"enum": ["auto", "off", "require"], "default": "auto"},
        "allow_options": {"type": "boolean", "default": False},
    }

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._programs = Programs(lab)

    @hook
    def drivers(self) -> Iterable[Driver]:
        return [QemuDriver(self.lab, self.config, self._programs)]

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return SCHEMAS

    @hook
    def routes(self) -> Iterable[Route]:
        return Routes(self.lab, self._programs).all()
