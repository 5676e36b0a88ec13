"""``ping``: echo requests, datagrams or connections to a host, and what comes back."""

import itertools
import random
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from labplane_pc import icmp, icmpv6, tcp, udp
from labplane_pc.commands.connect import Client, Outcome
from labplane_pc.commands.probes import MOST_DATA, Plan, answers, is_error, send, words_about
from labplane_pc.commands.resolve import any_port, look_up, next_hop, next_hop6
from labplane_pc.help_pages import page
from labplane_pc.host import MTU
from labplane_pc.tasks import Interrupted, Received, Task, Wait
from labplane_pc.words import address, address6, is_number, number, text

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

PROTOCOLS = {"1": icmp.PROTOCOL, "2": udp.PROTOCOL, "3": tcp.PROTOCOL}
NAMES = {icmp.PROTOCOL: "icmp", udp.PROTOCOL: "udp", tcp.PROTOCOL: "tcp"}
TCP_FLAGS = {"c": 0x80, "e": 0x40, "u": 0x20, "a": 0x10, "p": 0x08, "r": 0x04, "s": 0x02, "f": 0x01}
MILLISECONDS = 1000
LONGEST_WAIT = 3_600_000
FOR_EVER = -1


class Options:
    """What a command line of ping asks for; `valid` is False when it asks for something that there is not."""

    def __init__(self, argv: list[str]) -> None:
        self.protocol = icmp.PROTOCOL
        self.count = 5
        self.size = 56
        self.ttl = 64
        self.near = any_port()
        self.far = 7
        self.interval = self.wait = MILLISECONDS
        self.flags = 0
        self.dont_fragment = False
        self.mtu: int | None = None
        self.valid = True
        rest = iter(argv[2:])
        for word in rest:
            if word.startswith("-") and not self._take(word[1:2], rest):
                self.valid = False
                return
        ports = range(65536)
        self.valid = 0 <= self.size <= MOST_DATA and self.near in ports and self.far in ports and 0 < self.ttl < 256

    def _take(self, option: str, rest: Any) -> bool:
        if option in PROTOCOLS:
            self.protocol = PROTOCOLS[option]
        elif option == "D":
            self.dont_fragment = True
        elif option == "t":
            self.count = FOR_EVER
        elif option in ("u", "P", "c", "l", "T", "s", "p", "a", "f", "i", "w") and option:
            value = next(rest, None)
            return value is None or self._set(option, value)
        else:
            return False
        return True

    def _set(self, option: str, word: str) -> bool:
        value = number(word)
        if option == "P":
            self.protocol = value if value in NAMES else self.protocol
        elif option == "f":
            if any(letter not in TCP_FLAGS for letter in word.lower()):
                return False
            self.flags |= sum({TCP_FLAGS[letter] for letter in word.lower()})
        elif option == "u":
            self.mtu = value if 576 <= value <= 65535 else MTU
        elif option in ("i", "w"):
            name = "interval" if option == "i" else "wait"
            setattr(self, name, min(value, LONGEST_WAIT) if value >= 1 else MILLISECONDS)
        elif option != "a":
            setattr(self, {"c": "count", "l": "size", "T": "ttl", "s": "near", "p": "far"}[option], value)
        return True

    def goes_on(self, sent: int) -> bool:
        """Whether there is one more to send after `sent`."""
        return self.count == FOR_EVER or sent < self.count


def ping(pc: "VirtualPC", argv: list[str]) -> Task:
    """Ping a host with ICMP, UDP or TCP, as the options say."""
    if len(argv) < 2 or argv[1:] == ["?"]:
        pc.print(page("ping"))
        return
    options = Options(argv)
    if not options.valid:
        pc.print("Invalid options\n")
        return
    name = argv[1]
    if ":" in name:
        yield from _ping6(pc, name, argv, options)
        return
    target = address(name)
    if target is None or not any(target):
        found = yield from look_up(pc, name)
        if found is None:
            pc.print(f"Cannot resolve {name}\n")
            return
        whole, target = found
        pc.print(f"{name} resolved to {text(target) if whole == name else f'{whole}({text(target)})'}\n")
        if len(target) == 16:
            yield from _ping6(pc, text(target), argv, options)
            return
    pc.print("\n")
    if target == pc.host.four.address:
        yield from _ping_self(pc, text(target), options)
        return
    mac = yield from next_hop(pc, target)
    if mac is None:
        return
    yield from _go(pc, _plan(options, pc.host.four.address, target, mac), options, name)


def _ping6(pc: "VirtualPC", name: str, argv: list[str], options: Options) -> Task:
    pc.print("\n")
    target = address6(name)
    if target is None:
        pc.print(f"Invalid address: {name}\n")
        return
    if options.count != FOR_EVER:
        options.count = next((number(b) for a, b in itertools.pairwise(argv) if a == "-c" and is_number(b)), 5)
    if target in pc.host.six.own():
        options.count = 5
        yield from _ping_self(pc, name, options)
        return
    mac = yield from next_hop6(pc, target)
    if mac is None:
        pc.print(f"host ({name}) not reachable\n")
        return
    yield from _go(pc, _plan(options, pc.host.six.source_for(target), target, mac), options, name)


def _plan(options: Options, source: bytes, target: bytes, mac: bytes) -> Plan:
    return Plan(
        options.protocol,
        source,
        target,
        mac,
        options.near,
        options.far,
        options.size,
        options.ttl,
        options.flags,
        options.dont_fragment,
        options.mtu,
    )


def _ping_self(pc: "VirtualPC", name: str, options: Options) -> Task:
    sent = 0
    while options.goes_on(sent):
        sent += 1
        pc.print(f"{name} icmp_seq={sent} ttl={options.ttl} time=0.001 ms\n")
        yield Wait(0.001)


def _go(pc: "VirtualPC", plan: Plan, options: Options, name: str) -> Task:
    with pc.host.claimed(plan.protocol, plan.near):
        if plan.protocol == tcp.PROTOCOL and not plan.flags:
            yield from _connect(pc, plan, options, name)
        else:
            yield from _probe(pc, plan, options, name)


def _probe(pc: "VirtualPC", plan: Plan, options: Options, name: str) -> Task:
    is_ipv4 = len(plan.target) == 4
    what = f"{NAMES[plan.protocol]}{'' if is_ipv4 else '6'}_seq"
    ident = random.getrandbits(16)
    sent = 0
    while options.goes_on(sent):
        if sent:
            yield Wait(options.interval / MILLISECONDS)
        sent += 1
        answer = Wait(options.wait / MILLISECONDS, answers(plan, sent, ident))
        began = send(pc, plan, sent, ident, plan.ttl)
        heard: Received | None = yield answer
        if heard is None:
            pc.print(f"{name} {what}={sent} timeout\n")
            continue
        seconds = heard.time - began
        facts = f"{what}={sent} ttl={heard.ttl} time={seconds * MILLISECONDS:.3f} ms"
        if not is_error(heard, plan):
            size = f"{heard.length} bytes from {text(heard.source)}" if is_ipv4 else name
            pc.print(f"{size} {facts}\n")
        elif heard.protocol == icmpv6.PROTOCOL and heard.body[0] == icmpv6.TOO_BIG:
            pc.print(f"*{text(heard.source)} {facts} (new MTU {pc.host.six.path_mtu(plan.target)})\n")
        else:
            pc.print(f"*{text(heard.source)} {facts} {words_about(heard)}\n")


def _connect(pc: "VirtualPC", plan: Plan, options: Options, name: str) -> Task:
    def transmit(body: bytes) -> None:
        if len(plan.target) == 4:
            pc.host.four.send(plan.mac, plan.target, tcp.PROTOCOL, body, ttl=plan.ttl)
        else:
            pc.host.six.send(plan.mac, plan.target, tcp.PROTOCOL, body, hops=plan.ttl, source=plan.source)

    whom = f"{plan.far}@{name}"
    sent = 0
    while options.goes_on(sent):
        if sent:
            yield Wait(options.wait / MILLISECONDS)
        sent += 1
        client = Client(pc, (plan.source, plan.near), (plan.target, plan.far), options.wait / MILLISECONDS, transmit)
        steps = (("Connect", client.open()), ("SendData", client.send_data(plan.size)), ("Close", client.close()))
        for label, step in steps:
            if not (yield from _step(pc, client, f"{label:<10}{whom}", sent, step)):
                break


def _step(
    pc: "VirtualPC", client: Client, label: str, sent: int, step: Generator[Wait, Any, Outcome]
) -> Generator[Wait, Any, bool]:
    """Do one step of a connection and say how it went; returns whether the next one makes sense."""
    began = pc.time
    try:
        outcome = yield from step
    except Interrupted:
        step.close()
        raise
    heard = client.last
    time = f"time={(pc.time - began) * MILLISECONDS:.3f} ms"
    if outcome is Outcome.TIMEOUT or heard is None:
        pc.print(f"{label} timeout\n")
    elif outcome is Outcome.RESET:
        pc.print(f"{label} RST returned\n")
    elif outcome is Outcome.ERROR:
        pc.print(f"*{text(heard.source)} tcp_seq={sent} ttl={heard.ttl} {time} {words_about(heard)}\n")
    else:
        pc.print(f"{label} seq={sent} ttl={heard.ttl} {time}\n")
        return True
    return False
