"""From a name to an address to the MAC address of the next hop: what ping, trace, ip and dhcp wait for first."""

import random
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from labplane_pc import dns, ipv4, ipv6, udp
from labplane_pc.tasks import Learnt, Received, Wait
from labplane_pc.words import text

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

TRIES = 3
TRY_SECONDS = 1.0
PROBE_SECONDS = 0.25
DNS_SECONDS = 1.0
FIRST_PORT, LAST_PORT = 1024, 65000

Waiting = Generator[Wait, Any, bytes | None]


def any_port() -> int:
    """A port for a question."""
    return random.randrange(FIRST_PORT, LAST_PORT)  # noqa: S311 - there is nothing to protect


def neighbour(pc: "VirtualPC", address: bytes) -> Waiting:
    """The MAC address of a neighbour with an IPv4 or IPv6 address, None when it does not answer."""
    side = pc.host.four if len(address) == 4 else pc.host.six
    if (known := side.neighbours.find(address, pc.now)) is not None:
        return known
    for _ in range(TRIES):
        side.ask(address)
        learnt = yield Wait(TRY_SECONDS, lambda event: isinstance(event, Learnt) and event.address == address)
        if learnt is not None:
            mac: bytes = learnt.mac
            return mac
    return None


def duplicate(pc: "VirtualPC", address: bytes) -> Waiting:
    """The MAC address of another host that has `address` already (RFC 5227 2.1), None when nobody says so."""
    four = pc.host.four
    four.probing = address
    try:
        for _ in range(TRIES):
            four.ask(address)
            learnt = yield Wait(PROBE_SECONDS, lambda event: isinstance(event, Learnt) and event.address == address)
            if learnt is not None:
                mac: bytes = learnt.mac
                return mac
    finally:
        four.probing = None
    return None


def next_hop(pc: "VirtualPC", target: bytes) -> Waiting:
    """The MAC address to which packets for an IPv4 address go; says so and returns None when there is none."""
    hop = pc.host.four.next_hop(target)
    if hop is None:
        pc.print("No gateway found\n")
        return None
    mac = yield from neighbour(pc, hop)
    if mac is None:
        pc.print(f"host ({text(hop)}) not reachable\n")
    return mac


def next_hop6(pc: "VirtualPC", target: bytes) -> Waiting:
    """The same for an IPv6 address, without a word."""
    six = pc.host.six
    if six.is_on_link(target):
        return (yield from neighbour(pc, target))
    if six.router == ipv6.ANY:
        return None
    return six.router_mac


def look_up(pc: "VirtualPC", name: str) -> Generator[Wait, Any, tuple[str, bytes] | None]:
    """The full name and an address of a host, from the DNS servers: IPv4 before IPv6; None when none has it."""
    four = pc.host.four
    whole = f"{name}.{four.domain}" if four.domain and "." not in name else name
    for kind in (dns.A, dns.AAAA):
        for server in (*four.dns, *pc.host.six.dns):
            if any(server):
                found = yield from _ask(pc, server, whole, kind)
                if found is not None:
                    return whole, found
    return None


def _ask(pc: "VirtualPC", server: bytes, name: str, kind: int) -> Waiting:
    host, port, ident = pc.host, any_port(), random.getrandbits(16)
    question = dns.question(ident, name, kind)
    if question is None:
        return None
    is_ipv4 = len(server) == 4
    hop = host.four.next_hop(server) if is_ipv4 else server
    if hop is None or (is_ipv4 and host.four.address == ipv4.ANY):
        return None
    mac = yield from (neighbour(pc, hop) if is_ipv4 else next_hop6(pc, hop))
    if mac is None:
        return None
    answers: list[tuple[bool, bytes | None]] = []

    def is_answer(event: object) -> bool:
        if not isinstance(event, Received) or event.protocol != udp.PROTOCOL or event.source != server:
            return False
        datagram = udp.parse(event.body, event.source, event.target)
        if datagram is None or datagram.source != dns.PORT or datagram.target != port:
            return False
        answers.append(dns.answer(datagram.body, ident, kind))
        return answers[-1][0]

    with host.claimed(udp.PROTOCOL, port):
        if is_ipv4:
            body = udp.build(port, dns.PORT, question, host.four.address, server)
            host.four.send(mac, server, udp.PROTOCOL, body)
        else:
            body = udp.build(port, dns.PORT, question, host.six.source_for(server), server)
            host.six.send(mac, server, udp.PROTOCOL, body)
        heard = yield Wait(DNS_SECONDS, is_answer)
    return None if heard is None else answers[-1][1]
