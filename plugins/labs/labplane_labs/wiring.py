"""Which ports the links of a lab file are: those that it names, and the lowest that are left for the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labplane_labs.labfile import End, Link

Port = tuple[str, int, int]  # the id of the VM, the adapter, the port


def port_at(end: Mapping[str, Any]) -> Port:
    """The port of an end in a topology."""
    return end["vm_id"], end["adapter"], end["port"]


@dataclass(frozen=True)
class Wanted:
    """A link of the file with its ports; number: which of the file's links it is."""

    link: Link
    ports: tuple[Port, ...]
    number: int

    def __str__(self) -> str:
        return str(self.link)

    def is_there(self, at_port: Mapping[Port, Mapping[str, Any]]) -> bool:
        """Whether it is plugged in; at_port: the links of a topology, by their ports."""
        links = [at_port.get(port) for port in self.ports]
        if links[0] is None:
            return False
        if self.link.nio is not None:
            words = [str(value) for name, value in sorted(self.link.nio.items()) if name != "type"]
            leads_to = str(links[0]["leads_to"])
            return (
                leads_to == " ".join(words) or leads_to == f"{self.link.nio.get('rhost')}:{self.link.nio.get('rport')}"
            )
        return {port_at(end) for end in links[0]["ends"]} == set(self.ports)

    def in_the_way(self, at_port: Mapping[Port, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The other links at its ports."""
        for port in self.ports:
            if (link := at_port.get(port)) is not None:
                yield link


def wanted_links(links: Sequence[Link], nodes: Mapping[str, Any]) -> tuple[list[Wanted], list[tuple[int, str]]]:
    """The links with their ports, and the number of each that has none with a sentence that says why.

    nodes: those of a topology, by the name in the file. The same file gives the same ports each time.
    """
    taken: set[Port] = set()
    named: dict[End, Port | str] = {}
    for end in (end for link in links for end in link.ends if end.port is not None and end.node in nodes):
        named[end] = _named(end, nodes[end.node])
        if not isinstance(named[end], str):
            taken.add(named[end])  # type: ignore[arg-type]
    wanted, complaints = [], []
    for number, link in enumerate(links):
        ports: list[Port] = []
        for end in link.ends:
            if end.node not in nodes:
                complaints.append((number, f"{link}: {end.node} could not be made."))
                break
            port = named[end] if end.port is not None else _lowest(nodes[end.node], taken)
            if port is None:
                complaints.append(
                    (number, f"{link}: {end.node} has no free port; it has {len(nodes[end.node]['ports'])}.")
                )
                break
            if isinstance(port, str):
                complaints.append((number, f"{link}: {port}"))
                break
            taken.add(port)
            ports.append(port)
        else:
            wanted.append(Wanted(link, tuple(ports), number))
    return wanted, complaints


def _named(end: End, node: Mapping[str, Any]) -> Port | str:
    """The port of that name or number; a sentence when there is none."""
    ports = node["ports"]
    for number, port in enumerate(ports):
        if end.port in (port["name"], str(number), f"{port['adapter']}/{port['port']}"):
            return node["vm_id"], port["adapter"], port["port"]
    there = ", ".join(port["name"] for port in ports[:12]) + (", …" if len(ports) > 12 else "")
    return f"{end.node} has no port {end.port!r}; it has {there or 'none'}."


def _lowest(node: Mapping[str, Any], taken: set[Port]) -> Port | None:
    ports = ((node["vm_id"], port["adapter"], port["port"]) for port in node["ports"])
    return next((port for port in ports if port not in taken), None)
