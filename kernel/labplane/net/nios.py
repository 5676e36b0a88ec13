"""NIOs, the ends of links at the ports of VMs: their types and the JSON Schema of each (N-1, N-2)."""

from collections.abc import Mapping
from sys import intern
from typing import Any

from labplane.errors import Conflict
from labplane.validation.named import ref
from labplane.validation.schemas import Schema

NIO = Mapping[str, Any]
Port = tuple[int, int]

NIO_UDP: Schema = {
    "type": "object",
    "properties": {
        "type": {"const": "nio_udp"},
        "lport": ref("PortNumber"),
        "rhost": {"type": "string", "minLength": 1},
        "rport": ref("PortNumber"),
    },
    "required": ["type", "lport", "rhost", "rport"],
    "additionalProperties": False,
    "examples": [{"type": "nio_udp", "lport": 10000, "rhost": "127.0.0.1", "rport": 10001}],
}

NIO_TAP: Schema = {
    "type": "object",
    "properties": {"type": {"const": "nio_tap"}, "tap_device": {"type": "string", "minLength": 1}},
    "required": ["type", "tap_device"],
    "additionalProperties": False,
}

KNOWN_TYPES = (
    "nio_generic_ethernet",
    "nio_linux_ethernet",
    "nio_nat",
    "nio_null",
    "nio_tap",
    "nio_udp",
    "nio_unix",
    "nio_vde",
    "nio_vmnet",
)


def nio_schema(nios: Mapping[str, Schema]) -> Schema:
    """The body schema of a driver's NIO route: any known type by name, the driver's own `nios` in full."""
    branches = [
        {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": schema}
        for name, schema in sorted(nios.items())
    ]
    return {
        "type": "object",
        "properties": {"type": {"enum": sorted({*KNOWN_TYPES, *nios})}},
        "required": ["type"],
        **({"allOf": branches} if branches else {}),
        "examples": [example for schema in nios.values() for example in schema.get("examples", ())],
    }


def lean(nio: NIO) -> NIO:
    """The same, its texts shared with those of other NIOs: a lab has thousands, which say much the same."""
    return {intern(name): intern(value) if isinstance(value, str) else value for name, value in nio.items()}


def check_type(nio: NIO, kind: str, nios: Mapping[str, Schema]) -> None:
    """Raise Conflict when VMs of this kind do not take NIOs of this type (N-2)."""
    if nio["type"] not in nios:
        raise Conflict(f"{kind} does not support {nio['type']}; it takes {', '.join(sorted(nios)) or 'none'}.")


def has_port(port: Port, adapters: tuple[int, ...]) -> bool:
    """Whether `port` is one of those of a VM; adapters: the number of ports of each."""
    adapter, number = port
    return adapter < len(adapters) and number < adapters[adapter]


def check_port(port: Port, adapters: tuple[int, ...], vm: str) -> None:
    """Raise Conflict unless `port` is one of the VM's; adapters: the number of ports of each (N-3)."""
    adapter, number = port
    if adapter >= len(adapters):
        raise Conflict(f"{vm} has no adapter {adapter}; it has {_range('adapter', len(adapters))}.")
    if number >= adapters[adapter]:
        raise Conflict(f"{vm} has no port {number} on adapter {adapter}; it has {_range('port', adapters[adapter])}.")


def _range(noun: str, count: int) -> str:
    return f"no {noun}s" if count == 0 else f"{noun} 0" if count == 1 else f"{noun}s 0 to {count - 1}"
