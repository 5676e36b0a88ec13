"""``trace``: the routers on the way to a host."""

import random
from typing import TYPE_CHECKING

from labplane_pc import icmp, icmpv6, tcp, udp
from labplane_pc.commands.probes import Plan, answers, is_error, send, words_about
from labplane_pc.commands.resolve import any_port, look_up, next_hop, next_hop6
from labplane_pc.help_pages import page
from labplane_pc.tasks import Interrupted, Received, Task, Wait
from labplane_pc.words import address, address6, is_number, text

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

PROBES = 3
SECONDS = 1.0
SIZE = 64
LABELS = {icmp.PROTOCOL: " (ICMP)", udp.PROTOCOL: "", tcp.PROTOCOL: " (TCP)"}
MOST_HOPS = 64
USUAL_HOPS = 8


def trace(pc: "VirtualPC", argv: list[str]) -> Task:
    """Print the way to a host."""
    if len(argv) < 2 or argv[1:] == ["?"]:
        pc.print(page("trace"))
        return
    name = argv[1]
    if ":" in name:
        yield from _trace6(pc, name, argv)
        return
    options = _options(pc, argv)
    if options is None:
        return
    protocol, hops = options
    target = address(name)
    if target is None or not any(target):
        found = yield from look_up(pc, name)
        if found is None:
            pc.print(f"Cannot resolve {name}\n")
            return
        whole, target = found
        pc.print(f"{whole} resolved to {text(target)}\n")
        if len(target) == 16:
            yield from _trace6(pc, text(target), argv)
            return
    if target == pc.host.four.address:
        pc.print(f"traceroute to {name}, {hops} hops max\n 1 {text(target)}     0.001 ms\n")
        return
    pc.print(f"trace to {name}, {hops} hops max{LABELS[protocol]}, press Ctrl+C to stop\n")
    mac = yield from next_hop(pc, target)
    if mac is None:
        return
    near = any_port()
    flags = tcp.SYN if protocol == tcp.PROTOCOL else 0
    plan = Plan(protocol, pc.host.four.address, target, mac, near, near + 1, SIZE, 0, flags)
    yield from _go(pc, plan, hops, "   ")


def _trace6(pc: "VirtualPC", name: str, argv: list[str]) -> Task:
    pc.print("\n")
    target = address6(name)
    if target is None:
        pc.print(f"Invalid address: {name}\n")
        return
    hops = int(argv[-1]) if is_number(argv[-1]) and len(argv[-1]) < 4 else MOST_HOPS
    hops = hops if 0 < hops <= MOST_HOPS else MOST_HOPS
    mac = yield from next_hop6(pc, target)
    if mac is None:
        pc.print(f"host ({name}) not reachable\n")
        return
    pc.print(f"trace to {name}, {hops} hops max\n")
    near = any_port()
    plan = Plan(icmp.PROTOCOL, pc.host.six.source_for(target), target, mac, near, near + 1, SIZE, 0)
    yield from _go(pc, plan, hops, " ")


def _options(pc: "VirtualPC", argv: list[str]) -> tuple[int, int] | None:
    """The protocol and the number of hops that a command line asks for; None, with a word, when it is wrong."""
    protocol, hops = udp.PROTOCOL, 0
    rest = iter(argv[2:])
    for word in rest:
        if word == "-P":
            value = next(rest, None)
            if value is None:
                pc.print("Missing protocol\n")
                return None
            if not is_number(value) or len(value) > 3 or int(value) not in LABELS:
                pc.print("Invalid protocol\n")
                return None
            protocol = int(value)
        elif word == "-m" or (is_number(word) and not hops):
            value = next(rest, None) if word == "-m" else word
            if value is None:
                pc.print("Missing TTL\n")
                return None
            if not is_number(value) or len(value) > 3 or not 0 < int(value) <= MOST_HOPS:
                pc.print("Invalid TTL\n")
                return None
            hops = int(value)
        else:
            pc.print(page("trace"))
            return None
    return protocol, hops or USUAL_HOPS


def _go(pc: "VirtualPC", plan: Plan, hops: int, indent: str) -> Task:
    ident, number = random.getrandbits(16), 0
    with pc.host.claimed(plan.protocol, plan.near):
        for hop in range(1, hops + 1):
            line, named, over = f"{hop:2d}{indent}", False, False
            for _ in range(PROBES):
                number += 1
                answer = Wait(SECONDS, answers(plan, number, ident))
                began = send(pc, plan, number, ident, hop)
                try:
                    heard: Received | None = yield answer
                except Interrupted:
                    pc.print(f"{line}\n")
                    raise
                if heard is None:
                    line += "  *"
                    continue
                time = f"{(heard.time - began) * 1000:.3f} ms"
                time_is_over = (icmp.TIME_EXCEEDED, icmpv6.TIME_EXCEEDED)[heard.protocol == icmpv6.PROTOCOL]
                if is_error(heard, plan) and heard.body[0] != time_is_over:
                    if not named:
                        line += f"*{text(heard.source)}   {time} {words_about(heard)}"
                    named = over = True
                    break
                line += f"{'' if named else text(heard.source) + ' '}  {time}"
                named = True
                over = over or not is_error(heard, plan)
            pc.print(f"{line}\n")
            if over:
                return
