"""``dhcp``: an address from a DHCP server, kept for as long as the lease is (RFC 2131 4.4)."""

import random
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from labplane_pc import dhcp, ipv4, udp
from labplane_pc.commands.decode import decode
from labplane_pc.commands.resolve import duplicate, neighbour
from labplane_pc.ethernet import BROADCAST, mac_text
from labplane_pc.help_pages import page
from labplane_pc.host import MTU
from labplane_pc.tasks import Received, Task, Wait
from labplane_pc.words import text

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

DISCOVER_SECONDS = (1.0, 3.0, 9.0)
REQUEST_SECONDS = (1.0, 1.0, 1.0)
LEAST_RETRY = 60.0
LONGEST_LEASE = 0xFFFFFFFF
Answer = Generator[Wait, Any, tuple[dhcp.Message, Received] | None]


class Lease:
    """What a DHCP server gave. wanted: whether the address comes from DHCP; server: 0.0.0.0 while there is none."""

    __slots__ = ("address", "began", "domain", "lease", "rebind", "renew", "server", "server_mac", "wanted")

    def __init__(self) -> None:
        self.wanted = False
        self.address = self.server = ipv4.ANY
        self.server_mac = BROADCAST
        self.lease = self.renew = self.rebind = 0
        self.began = 0.0
        self.domain = ""

    def forget(self) -> None:
        """The address no longer comes from a server."""
        self.wanted = False
        self.server = ipv4.ANY

    def take(self, answer: dhcp.Message, heard: Received) -> None:
        """Take over what an ACK says."""
        self.address = answer.yours
        self.server = answer.address(dhcp.SERVER) or heard.source
        self.server_mac = heard.mac
        self.lease = answer.seconds(dhcp.LEASE)
        self.renew = answer.seconds(dhcp.RENEWAL) or self.lease // 2
        self.rebind = answer.seconds(dhcp.REBINDING) or self.lease * 7 // 8
        self.began = heard.time
        self.domain = _name(answer.options.get(dhcp.DOMAIN, b""))


def run_dhcp(pc: "VirtualPC", argv: list[str]) -> Task:
    """Get, renew or release a lease, as the options say."""
    options = argv[2:]
    if any(option not in ("-d", "-r", "-x") for option in options):
        pc.print(page("ip dhcp" if options == ["?"] else "ip"))
        return
    show = (lambda *message: decode(pc, *message)) if "-d" in options else None
    steps = [option for option in options if option != "-d"]
    if not steps:
        yield from _get(pc, False, show)
    for step in steps if steps in (["-r"], ["-x"], ["-r", "-x"], ["-x", "-r"]) else ():
        if step == "-r":
            yield from _get(pc, True, show)
        else:
            _release(pc, show)


Show = Callable[..., None] | None


def _get(pc: "VirtualPC", again: bool, show: Show) -> Task:
    """From DISCOVER to ACK, with a letter for each message, or each message decoded."""
    lease, four = pc.lease, pc.host.four
    lease.wanted = True
    xid = random.getrandbits(32)
    wish = {dhcp.REQUESTED: lease.address} if again and lease.address != ipv4.ANY else {}
    offered = None
    for seconds in DISCOVER_SECONDS:
        options = {dhcp.HOST_NAME: pc.name.encode(), **wish, dhcp.WANTED: dhcp.WANTED_OPTIONS}
        _send(pc, dhcp.DISCOVER, xid, options, show, "D")
        offered = yield from _hear(pc, xid, (dhcp.OFFER,), seconds)
        if offered is not None:
            break
    if offered is None:
        pc.print("\nCan't find dhcp server\n")
        return
    offer, heard = offered
    _tell(pc, offer, show, "O")
    server = offer.address(dhcp.SERVER) or heard.source
    given = None
    for seconds in REQUEST_SECONDS:
        options = {
            dhcp.SERVER: server,
            dhcp.REQUESTED: offer.yours,
            dhcp.HOST_NAME: pc.name.encode(),
            dhcp.WANTED: dhcp.WANTED_OPTIONS,
        }
        _send(pc, dhcp.REQUEST, xid, options, show, "R")
        given = yield from _hear(pc, xid, (dhcp.ACK, dhcp.NAK), seconds)
        if given is not None:
            break
    if given is None or given[0].kind == dhcp.NAK:
        pc.print("\nCan't get ip address from dhcp server\n")
        return
    answer, heard = given
    _tell(pc, answer, show, "A")
    other = yield from duplicate(pc, answer.yours)
    if other is not None:
        pc.print(f"{mac_text(other)} use my ip {text(answer.yours)}\n")
        _send(pc, dhcp.DECLINE, xid, {dhcp.SERVER: server, dhcp.REQUESTED: answer.yours}, show, "")
        four.neighbours.clear()
        four.address, four.gateway, four.prefix = ipv4.ANY, ipv4.ANY, 0
        return
    _take(pc, answer, heard)
    behind = f" GW {text(four.gateway)}\n" if four.gateway != ipv4.ANY else ""
    pc.print(f" IP {text(four.address)}/{four.prefix}{behind}")
    pc.host.mtu = MTU
    four.announce()
    pc.keep_lease()


def _take(pc: "VirtualPC", answer: dhcp.Message, heard: Received) -> None:
    four = pc.host.four
    pc.lease.take(answer, heard)
    mask = int.from_bytes(answer.address(dhcp.MASK) or b"\xff\xff\xff\0", "big")
    four.address, four.prefix = answer.yours, mask.bit_count()
    four.gateway = answer.address(dhcp.ROUTERS) or ipv4.ANY
    servers = answer.options.get(dhcp.DNS, b"")
    for place in range(2):
        server = servers[place * 4 : place * 4 + 4]
        if len(server) == 4:
            four.dns[place] = server
    if pc.lease.domain:
        four.domain = pc.lease.domain


def keep(pc: "VirtualPC") -> Task:
    """Renew the lease when its time comes, rebind when that is not answered, give the address up at its end."""
    lease, four = pc.lease, pc.host.four
    mine = lease.began
    while lease.wanted and lease.lease != LONGEST_LEASE and lease.began == mine and lease.server != ipv4.ANY:
        age = pc.now - lease.began
        if age >= lease.lease:
            four.address, four.gateway, four.prefix = ipv4.ANY, ipv4.ANY, 0
            lease.server = ipv4.ANY
            return
        if age < lease.renew:
            yield Wait(lease.renew - age)
            continue
        rebinds = age >= lease.rebind
        answer = yield from _extend(pc, rebinds)
        if answer is not None and answer[0].kind == dhcp.ACK and answer[0].yours == four.address:
            _take(pc, *answer)
            mine = lease.began
        elif answer is not None and answer[0].kind == dhcp.NAK:
            four.address, four.gateway, four.prefix = ipv4.ANY, ipv4.ANY, 0
            lease.server = ipv4.ANY
            return
        else:
            until = lease.lease if rebinds else lease.rebind
            yield Wait(max(min((until - age) / 2, LEAST_RETRY), 1.0))


def _extend(pc: "VirtualPC", rebinds: bool) -> Answer:
    """Ask the server, or any server, for a longer lease of the same address."""
    lease, four = pc.lease, pc.host.four
    mac, target = BROADCAST, ipv4.ALL
    if not rebinds:
        hop = four.next_hop(lease.server)
        known = None if hop is None else (yield from neighbour(pc, hop))
        if known is None:
            return None
        mac, target = known, lease.server
    xid = random.getrandbits(32)
    options = {dhcp.HOST_NAME: pc.name.encode(), dhcp.WANTED: dhcp.WANTED_OPTIONS}
    message = dhcp.build(dhcp.REQUEST, xid, pc.host.mac, four.address, options)
    body = udp.build(dhcp.CLIENT_PORT, dhcp.SERVER_PORT, message, four.address, target)
    four.send(mac, target, udp.PROTOCOL, body, ttl=dhcp.TTL)
    return (yield from _hear(pc, xid, (dhcp.ACK, dhcp.NAK), REQUEST_SECONDS[0]))


def _release(pc: "VirtualPC", show: Show) -> None:
    lease, four = pc.lease, pc.host.four
    if lease.server != ipv4.ANY and four.address == lease.address:
        xid = random.getrandbits(32)
        message = dhcp.build(dhcp.RELEASE, xid, pc.host.mac, four.address, {dhcp.SERVER: lease.server})
        if show is not None:
            show(message)
        body = udp.build(dhcp.CLIENT_PORT, dhcp.SERVER_PORT, message, four.address, lease.server)
        four.send(lease.server_mac, lease.server, udp.PROTOCOL, body, ttl=dhcp.TTL)
    four.address, four.gateway, four.prefix = ipv4.ANY, ipv4.ANY, 0
    lease.server = ipv4.ANY


def _send(pc: "VirtualPC", kind: int, xid: int, options: dict[int, bytes], show: Show, letter: str) -> None:
    message = dhcp.build(kind, xid, pc.host.mac, ipv4.ANY, options)
    if show is not None:
        show(message)
    else:
        pc.print(letter)
    body = udp.build(dhcp.CLIENT_PORT, dhcp.SERVER_PORT, message, ipv4.ANY, ipv4.ALL)
    pc.host.four.send(BROADCAST, ipv4.ALL, udp.PROTOCOL, body, ttl=dhcp.TTL, source=ipv4.ANY)


def _tell(pc: "VirtualPC", message: dhcp.Message, show: Show, letter: str) -> None:
    if show is not None:
        show(message)
    else:
        pc.print(letter)


def _hear(pc: "VirtualPC", xid: int, kinds: tuple[int, ...], seconds: float) -> Answer:
    found: list[dhcp.Message] = []

    def match(event: object) -> bool:
        if not isinstance(event, Received) or event.protocol != udp.PROTOCOL:
            return False
        datagram = udp.parse(event.body, event.source, event.target)
        if datagram is None or (datagram.source, datagram.target) != (dhcp.SERVER_PORT, dhcp.CLIENT_PORT):
            return False
        message = dhcp.parse(datagram.body)
        if message is None or message.operation != 2 or message.xid != xid or message.kind not in kinds:
            return False
        if message.mac != pc.host.mac or (message.kind != dhcp.NAK and not ipv4.is_unicast(message.yours)):
            return False
        found.append(message)
        return True

    heard = yield Wait(seconds, match)
    return None if heard is None else (found[-1], heard)


def _name(data: bytes) -> str:
    return "".join(chr(byte) for byte in data[:63] if 32 < byte < 127)
