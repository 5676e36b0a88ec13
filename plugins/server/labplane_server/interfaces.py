"""The network interfaces of the host: names, addresses, MAC addresses (I-1)."""

import socket
from typing import Any

import psutil

from labplane import Schema

INTERFACE: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "ip_address": {"type": "string", "description": "the first IPv4 address, empty without one"},
        "mac_address": {"type": "string", "description": "empty without one"},
        "addresses": {
            "type": "array",
            "description": "of IPv4 and IPv6",
            "items": {
                "type": "object",
                "properties": {"address": {"type": "string"}, "netmask": {"type": ["string", "null"]}},
                "required": ["address", "netmask"],
            },
        },
    },
    "required": ["id", "name", "ip_address", "mac_address", "addresses"],
}


def interfaces() -> list[dict[str, Any]]:
    """The network interfaces that the host has now, by name, loopback included."""
    found: dict[str, list[Any]] = {name: [] for _, name in sorted(socket.if_nameindex())}
    for label, addresses in psutil.net_if_addrs().items():
        # eth0:1 is a further address of eth0; psutil does not name interfaces that have no address of any kind
        found.setdefault(label.partition(":")[0], []).extend(addresses)
    return [_shown(name, addresses) for name, addresses in sorted(found.items())]


def _shown(name: str, addresses: list[Any]) -> dict[str, Any]:
    by_family: dict[int, list[Any]] = {}
    for one in addresses:
        by_family.setdefault(one.family, []).append(one)
    ipv4, ipv6 = by_family.get(socket.AF_INET, []), by_family.get(socket.AF_INET6, [])
    return {
        "id": name,
        "name": name,
        "ip_address": ipv4[0].address if ipv4 else "",
        "mac_address": next((one.address for one in by_family.get(psutil.AF_LINK, [])), ""),
        "addresses": [
            {"address": one.address.partition("%")[0], "netmask": one.netmask}  # fe80::1%eth0 is of this interface
            for one in (*ipv4, *ipv6)
        ],
    }
