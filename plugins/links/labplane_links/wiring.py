"""What is linked to what, read from the NIOs that are plugged in, whoever plugged them."""

import asyncio
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid5
from weakref import WeakKeyDictionary

from labplane import VM, LabError, resolve_rhost

Port = tuple[int, int]

NAMESPACE = UUID("5a5b1f3c-55a5-4b0e-9a43-0b1f5a6c7d10")  # of the ids of links


class End(NamedTuple):
    """A port into which an NIO is plugged."""

    vm: VM
    port: Port
    nio: Mapping[str, Any]


class Link(NamedTuple):
    """A link: two ends within the project, or one that leads elsewhere.

    leads_to: in words, where an only end leads: "tap0", "192.0.2.7:10001"; None for a link with two ends.
    """

    ends: tuple[End, ...]
    leads_to: str | None

    @property
    def id(self) -> str:
        """A UUID that follows from its ports alone, so that it is the same after a restart of the server."""
        return id_of_link(tuple([(end.vm.id, end.port) for end in self.ends]))


@lru_cache(maxsize=16384)
def id_of_link(ends: tuple[tuple[str, Port], ...]) -> str:
    """The id of the link between these ports, the same whichever of them comes first."""
    return str(uuid5(NAMESPACE, " ".join([f"{vm_id}/{adapter}/{port}" for vm_id, (adapter, port) in sorted(ends)])))


def port_names(vm: VM) -> dict[Port, str]:
    """Each port of `vm` with its name."""
    return {(port.adapter, port.port): port.name for port in vm.ports()}


class PortNames:
    """The names of the ports of VMs, asked again of a driver when the settings of its VM are others."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[VM, tuple[dict[str, Any], dict[Port, str]]] = WeakKeyDictionary()

    def of(self, vm: VM) -> dict[Port, str]:
        """Each port of `vm` with its name."""
        known = self._known.get(vm)
        if known is None or known[0] != vm.settings:
            known = self._known[vm] = dict(vm.settings), port_names(vm)
        return known[1]

    async def learn(self, vms: Sequence[VM]) -> None:
        """Have the names of these VMs ready, and let others have their turn meanwhile: each takes its driver's time."""
        for number, vm in enumerate(vms):
            self.of(vm)
            if number % 100 == 99:
                await asyncio.sleep(0)


async def links_among(vms: Iterable[VM]) -> list[Link]:
    """The links of these VMs, in the order of their first ends.

    Two UDP ends are one link when each names the other: its port, and this host.
    """
    ends = [End(vm, port, nio) for vm in vms for port, nio in sorted(vm.nios.items())]
    here = {host for host in {end.nio["rhost"] for end in ends if "rhost" in end.nio} if await _is_here(host)}
    by_lport = {end.nio["lport"]: end for end in ends if end.nio.get("rhost") in here}
    return list(_pairs(ends, by_lport))


def _pairs(ends: Iterable[End], by_lport: Mapping[int, End]) -> Iterator[Link]:
    seen: set[tuple[str, Port]] = set()
    for end in ends:
        if (end.vm.id, end.port) in seen:
            continue
        far = by_lport.get(end.nio["rport"]) if by_lport.get(end.nio.get("lport", 0)) is end else None
        if far is None or far is end or far.nio["rport"] != end.nio["lport"]:
            yield Link((end,), _destination(end.nio))
        else:
            seen.add((far.vm.id, far.port))
            yield Link((end, far), None)


def _destination(nio: Mapping[str, Any]) -> str:
    if "rhost" in nio:
        return f"{nio['rhost']}:{nio['rport']}"
    return " ".join(str(value) for name, value in sorted(nio.items()) if name != "type") or str(nio["type"])


async def _is_here(host: str) -> bool:
    """Whether `host`, a name or an IPv4 address, is this one."""
    if host.startswith("127.") or host == "localhost":
        return True
    with suppress(LabError, OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((await resolve_rhost(host), 0))
        return True
    return False
