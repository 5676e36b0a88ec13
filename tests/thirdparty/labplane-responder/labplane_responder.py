"""A labplane plugin: VMs of the kind "responder", which answer ARP for an address; they run in labplane's engine."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from labplane import Driver, EngineDriver, Plugin, Schema, hook


class ResponderDriver(EngineDriver):
    kind = "responder"
    machine = "responder_machine:Responder"
    properties: ClassVar[Mapping[str, Schema]] = {
        "address": {"type": "string", "pattern": r"^([0-9]{1,3}\.){3}[0-9]{1,3}$", "default": "10.66.0.1"}
    }


class Responders(Plugin):
    @hook
    def drivers(self) -> Iterable[Driver]:
        return [ResponderDriver(self.lab)]
