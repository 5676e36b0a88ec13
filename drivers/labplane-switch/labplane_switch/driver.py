"""The driver: how a switch is created, linked, started and shown."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, ClassVar

from labplane import VM, BadRequest, Driver, Schema, open_udp
from labplane_switch.switch import Counters, Switch
from labplane_switch.vlans import Vlans

MOST_PORTS = 64
COUNT: Schema = {"type": "integer", "minimum": 0}
VLAN: Schema = {"type": "integer", "minimum": 1, "maximum": 4094}
TRUNK: Schema = {
    "type": "object",
    "properties": {
        "native": {
            "description": "the VLAN of frames without a tag, 1 unless given; null: they are dropped",
            "anyOf": [VLAN, {"type": "null"}],
        },
        "allowed": {"description": "the VLANs of frames with one, all unless given", "type": "array", "items": VLAN},
    },
    "additionalProperties": False,
}


class SwitchDriver(Driver):
    """One adapter with as many ports as the setting `ports` says; links are plugged in and out while it runs."""

    kind = "switch"
    properties: ClassVar[Mapping[str, Schema]] = {
        "ports": {"type": "integer", "minimum": 1, "maximum": MOST_PORTS, "default": 8, "x-change": "live"},
        "ageing_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000,
            "default": 300,
            "x-change": "live",
        },
        "vlans": {
            "type": "object",
            "description": "by the name of a port: the VLAN of an access port, or a trunk. A port that is not named "
            "is an access port of VLAN 1; with no port named, frames with a tag are forwarded like all others",
            "patternProperties": {"^eth(0|[1-9][0-9]?)$": {"anyOf": [VLAN, {"const": "trunk"}, TRUNK]}},
            "additionalProperties": False,
            "default": {},
            "x-change": "live",
        },
    }
    readonly: ClassVar[Mapping[str, Schema]] = {
        "counters": {
            "type": "array",
            "description": "of each port, since the latest start",
            "items": {"type": "object", "properties": {field.name: COUNT for field in fields(Counters)}},
        },
        "mac_table_size": COUNT,
    }
    console = False

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        return (settings["ports"],)

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        settings = {"ports": 8, "vlans": {}, **vm.settings, **changes}
        names = [f"eth{number}" for number in range(settings["ports"])]
        if strangers := sorted(set(settings["vlans"]) - set(names)):
            raise BadRequest(f"'vlans' has {strangers[0]}, and the switch only ports from {names[0]} to {names[-1]}.")
        switch = self._switch(vm)
        if switch is not None and "ageing_seconds" in changes:
            switch.table.ageing = changes["ageing_seconds"]
        if switch is not None and settings["vlans"] != vm.settings["vlans"]:
            switch.vlans = _vlans(settings["vlans"])

    async def start(self, vm: VM) -> None:
        switch = Switch(vm.settings["ageing_seconds"], _vlans(vm.settings["vlans"]))
        try:
            for (_, number), nio in vm.nios.items():
                await switch.plug(number, await open_udp(vm, nio))
        except BaseException:
            await switch.close()
            raise
        vm.data["switch"] = switch

    async def recover(self, vm: VM) -> None:
        await self.start(vm)

    async def stop(self, vm: VM) -> None:
        await vm.data["switch"].close()

    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        switch, (_, number) = vm.data["switch"], port
        await switch.plug(number, await open_udp(vm, nio, instead_of=switch.end(number)))

    async def disconnect(self, vm: VM, port: tuple[int, int]) -> None:
        await vm.data["switch"].unplug(port[1])

    async def show(self, vm: VM) -> Mapping[str, Any]:
        switch = self._switch(vm)
        numbers = range(vm.settings["ports"])
        return {
            **await super().show(vm),
            "counters": [asdict(switch.counters[number] if switch else Counters()) for number in numbers],
            "mac_table_size": switch.table.size(time.monotonic()) if switch else 0,
        }

    def _switch(self, vm: VM) -> Switch | None:
        """The switch that runs, or last ran: its counters stay to be read."""
        switch: Switch | None = vm.data.get("switch")
        return switch


def _vlans(setting: Mapping[str, Any]) -> Vlans | None:
    return Vlans({int(name.removeprefix("eth")): port for name, port in setting.items()}) if setting else None
