"""The packets of ping and trace, for either version and each protocol, and what counts as the answer to one."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from labplane_pc import icmp, icmpv6, ipv4, tcp, udp
from labplane_pc.commands.connect import is_error_about
from labplane_pc.tasks import Received

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

MOST_DATA = 65507
DATA = (bytes(range(8, 256)) + bytes(range(256)) * 256)[:MOST_DATA]


class Plan(NamedTuple):
    """What is sent to whom. protocol: 1 stands for ICMP of either version; mac: the next hop's."""

    protocol: int
    source: bytes
    target: bytes
    mac: bytes
    near: int
    far: int
    size: int
    ttl: int
    flags: int = 0
    dont_fragment: bool = False
    mtu: int | None = None


def send(pc: "VirtualPC", plan: Plan, number: int, ident: int, ttl: int) -> float:
    """Send the probe with that number; returns the time at which it went."""
    is_ipv4 = len(plan.target) == 4
    data = DATA[: plan.size]
    if plan.protocol == udp.PROTOCOL:
        body = udp.build(plan.near, plan.far, (pc.host.mac + data[6:])[: max(plan.size, 6)], plan.source, plan.target)
    elif plan.protocol == tcp.PROTOCOL:
        segment = tcp.Segment(plan.near, plan.far, random.getrandbits(32), 0, plan.flags, b"")
        body = tcp.build(segment, plan.source, plan.target, tcp.MSS_1460 if plan.flags & tcp.SYN else b"")
    elif is_ipv4:
        body = icmp.build(icmp.ECHO, 0, ident, number & 0xFFFF, data)
    else:
        number = ident << 16 | number & 0xFFFF
        body = icmpv6.build(icmpv6.ECHO, 0, number, data, plan.source, plan.target)
    began = pc.time
    if is_ipv4:
        flags = ipv4.DONT_FRAGMENT if plan.dont_fragment else 0
        pc.host.four.send(plan.mac, plan.target, plan.protocol, body, ttl=ttl, flags=flags, mtu=plan.mtu)
    else:
        protocol = icmpv6.PROTOCOL if plan.protocol == icmp.PROTOCOL else plan.protocol
        pc.host.six.send(plan.mac, plan.target, protocol, body, hops=ttl, source=plan.source)
    return began


def answers(plan: Plan, number: int, ident: int) -> Callable[[object], bool]:
    """Whether an event answers the probe with that number, or is an error about it."""
    is_ipv4 = len(plan.target) == 4
    protocol = plan.protocol if is_ipv4 or plan.protocol != icmp.PROTOCOL else icmpv6.PROTOCOL

    def match(event: object) -> bool:
        if not isinstance(event, Received):
            return False
        if event.source == plan.target and event.protocol == protocol:
            if plan.protocol == icmp.PROTOCOL:
                reply = icmp.ECHO_REPLY if is_ipv4 else icmpv6.ECHO_REPLY
                expected = ident.to_bytes(2, "big") + (number & 0xFFFF).to_bytes(2, "big")
                if event.body[0] == reply:
                    return event.body[4:8] == expected
            else:
                ports = (plan.far.to_bytes(2, "big"), plan.near.to_bytes(2, "big"))
                return (event.body[:2], event.body[2:4]) == ports
        return is_error_about(event, protocol, plan.source, plan.target)

    return match


def is_error(event: Received, plan: Plan) -> bool:
    """Whether what answered a probe is an ICMP error."""
    if event.protocol == icmp.PROTOCOL:
        return event.body[0] != icmp.ECHO_REPLY or plan.protocol != icmp.PROTOCOL
    if event.protocol == icmpv6.PROTOCOL:
        return event.body[0] != icmpv6.ECHO_REPLY or plan.protocol != icmp.PROTOCOL
    return False


def words_about(event: Received) -> str:
    """What an ICMP error says, with its numbers, as VPCS puts it."""
    kind, code = event.body[0], event.body[1]
    said = icmp.text(kind, code) if event.protocol == icmp.PROTOCOL else icmpv6.text(kind, code)
    return f"(ICMP type:{kind}, code:{code}, {said})"
