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
Ports = tuple[tuple[str, Port], ...]  # each with the id of its VM

NAMESPACE = UUID("5a5b1f3c-55a5-4b0e-9a43-0b1f5a6c7d10")  # of the ids of links
KEPT = 16384  # ids of links

_ports_of: dict[str, Ports] = {}


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


@lru_cache(maxsize=KEPT)
def id_of_link(ends: Ports) -> str:
    """The id of the link between these ports, the same whichever of them comes first."""
    link_id = str(uuid5(NAMESPACE, " ".join([f"{vm_id}/{adapter}/{port}" for vm_id, (adapter, port) in sorted(ends)])))
    _ports_of[link_id] = ends
    if len(_ports_of) > KEPT:
        del _ports_of[next(iter(_ports_of))]
    return link_id


def ports_of_link(link_id: str) -> Ports:
    """The ports between which the link of that id is, if there is one; () when its id was not asked for lately."""
    return _ports_of.get(link_id, ())


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


def ends_of(vms: Iterable[VM]) -> list[End]:
    """What is plugged into these VMs, by their ports."""
    return [End(vm, port, nio) for vm in vms for port, nio in sorted(vm.nios.items())]


async def links_between(ends: Sequence[End]) -> list[Link]:
    """The links that have these ends, in the order of their first ones.

    Two UDP ends are one link when each names the other: its port, and this host.
    """
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
