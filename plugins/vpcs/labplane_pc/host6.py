"""The IPv6 side of a host: addresses, neighbour discovery, and what it does with what comes in (RFC 8200, RFC 4861)."""

import random
import struct
from typing import TYPE_CHECKING

from labplane_pc import icmpv6, ipv6, tcp, udp
from labplane_pc.answering import Answering
from labplane_pc.ethernet import HEADER, IPV6
from labplane_pc.neighbours import MOST, Neighbours
from labplane_pc.reassembly import Reassembly
from labplane_pc.tasks import Learnt, Received

if TYPE_CHECKING:
    from labplane_pc.host import Host

HOPS = 64
LOCAL_HOPS = 255  # of neighbour discovery: a router would have lowered it
DETECTION_SECONDS = 1.0
QUOTED = 1232
NO_MAC = bytes(6)


class Host6:
    """The IPv6 side of a host.

    link_local:  its link-local address.
    address, prefix: the global one; `ipv6.ANY` and 0 when there is none.
    eui64:       whether the interface identifier was made of the MAC address.
    automatic:   whether ``ip auto`` was asked for.
    router_mac, router: of the router that advertised the prefix.
    path_mtus:   the MTU of the way to each address that a "packet too big" was about, and when it came.
    """

    __slots__ = (
        "_answering",
        "_host",
        "_pieces",
        "address",
        "automatic",
        "dns",
        "eui64",
        "link_local",
        "neighbours",
        "path_mtus",
        "prefix",
        "router",
        "router_mac",
        "tentative",
    )

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._answering = Answering(self._answer)
        self._pieces = Reassembly(host.timers, self._reassembly_expired)
        self.neighbours = Neighbours()
        self.path_mtus: dict[bytes, tuple[int, float]] = {}
        self.link_local = ipv6.link_local(host.mac)
        self.tentative: set[bytes] = set()
        self.automatic = False
        self.clear()

    def clear(self) -> None:
        """Be without a global address, router and DNS server."""
        self.address, self.prefix, self.eui64 = ipv6.ANY, 0, False
        self.router, self.router_mac = ipv6.ANY, NO_MAC
        self.dns: list[bytes] = [ipv6.ANY, ipv6.ANY]

    def sizes(self) -> tuple[int, int, int]:
        """How many neighbours, unfinished packets and connections there are."""
        return len(self.neighbours), len(self._pieces), len(self._answering)

    def own(self) -> tuple[bytes, ...]:
        """The addresses that the host has."""
        return (self.link_local,) if self.address == ipv6.ANY else (self.link_local, self.address)

    def source_for(self, target: bytes) -> bytes:
        """The address from which packets for `target` go (RFC 6724)."""
        local = target[:2] == b"\xfe\x80" or target[:2] == b"\xff\x02"
        return self.link_local if local or self.address == ipv6.ANY else self.address

    def is_on_link(self, address: bytes) -> bool:
        """Whether `address` is that of a neighbour."""
        if ipv6.in_prefix(address, ipv6.LINK_LOCAL + bytes(8), 10):
            return True
        return self.address != ipv6.ANY and ipv6.in_prefix(address, self.address, self.prefix)

    def detect_duplicates(self, address: bytes, now: float) -> None:
        """Ask whether somebody has `address` already (RFC 4862 5.4); it is in use meanwhile (RFC 4429)."""
        self.tentative.add(address)
        group = ipv6.solicited_node(address)
        self._solicit(address, ipv6.ANY, group, ipv6.multicast_mac(group))
        self._host.timers.at(now + DETECTION_SECONDS, lambda _: self.tentative.discard(address))

    def ask(self, address: bytes) -> None:
        """Solicit the neighbour that has `address`."""
        group = ipv6.solicited_node(address)
        self._solicit(address, self.source_for(address), group, ipv6.multicast_mac(group))

    def solicit_routers(self) -> None:
        """Ask routers to advertise themselves."""
        body = icmpv6.link_layer(icmpv6.SOURCE_LINK_LAYER, self._host.mac)
        mac = ipv6.multicast_mac(ipv6.ALL_ROUTERS)
        self._discover(mac, icmpv6.ROUTER_SOLICITATION, 0, body, self.link_local, ipv6.ALL_ROUTERS)

    def path_mtu(self, target: bytes) -> int:
        """How long packets for `target` may be."""
        return min(self._host.mtu, self.path_mtus.get(target, (self._host.mtu, 0.0))[0])

    def send(
        self, mac: bytes, target: bytes, protocol: int, body: bytes, *, hops: int = HOPS, source: bytes | None = None
    ) -> None:
        """Send a packet to the neighbour `mac`, in pieces when it is longer than the way to `target` takes."""
        packet = ipv6.build(source or self.source_for(target), target, protocol, body, hops)
        head = mac + self._host.mac + IPV6
        ident = random.getrandbits(32) if len(packet) > ipv6.LEAST_MTU else 0
        for piece in ipv6.fragments(packet, max(self.path_mtu(target), 576), ident):
            self._host.send(head + piece)

    def hear(self, frame: bytes, now: float) -> None:
        """Take a frame with an IPv6 packet in."""
        host = self._host
        if frame[:6] != host.mac and frame[:2] != b"\x33\x33":
            return
        packet = ipv6.parse(frame, HEADER)
        if packet is None or packet.source[0] == 0xFF:
            return
        mine = packet.target in self.own()
        if not mine and not self._is_of_group(packet.target):
            return
        if packet.length > host.mtu and mine:
            self._error(frame, packet, icmpv6.TOO_BIG, 0, host.mtu)
            return
        body, length = packet.body, packet.length
        if packet.fragment is not None:
            offset, more, ident = packet.fragment
            if offset or more:  # RFC 6946: one that is the whole packet belongs to no other
                key = (packet.source, packet.target, ident)
                whole = self._pieces.add(key, offset, body, more, frame, now)
                if whole is None:
                    return
                body, length = whole, ipv6.HEADER + len(whole)
        heard = Received(packet.protocol, packet.source, packet.target, packet.hops, length, body, frame[6:12], now)
        if packet.protocol == icmpv6.PROTOCOL:
            if icmpv6.is_message(body, packet.source, packet.target):
                self._message(heard, packet)
        elif mine and packet.source != ipv6.ANY:
            self._dispatch(frame, packet, heard)

    def _is_of_group(self, target: bytes) -> bool:
        if target == ipv6.ALL_NODES:
            return True
        return target[:13] == ipv6.SOLICITED and any(target[13:] == address[13:] for address in self.own())

    def _message(self, heard: Received, packet: ipv6.Packet) -> None:
        kind, body = heard.body[0], heard.body
        if kind == icmpv6.ECHO and heard.source != ipv6.ANY:
            source = heard.target if heard.target[0] != 0xFF else self.source_for(heard.source)
            reply = icmpv6.build(icmpv6.ECHO_REPLY, 0, int.from_bytes(body[4:8], "big"), body[8:], source, heard.source)
            self.send(heard.mac, heard.source, icmpv6.PROTOCOL, reply, source=source)
        elif kind in (icmpv6.ROUTER_ADVERTISEMENT, icmpv6.NEIGHBOUR_SOLICITATION, icmpv6.NEIGHBOUR_ADVERTISEMENT):
            if heard.ttl == LOCAL_HOPS and body[1] == 0 and packet.fragment is None:  # RFC 6980
                self._discovery(kind, heard)
        elif heard.target in self.own():
            if kind == icmpv6.TOO_BIG and len(body) >= icmpv6.HEADER + ipv6.HEADER:
                self._note_path_mtu(body, heard.time)
            self._host.tell(heard, heard.time)

    def _note_path_mtu(self, body: bytes, now: float) -> None:
        """RFC 8201: of the packet that was too big, if it is one of ours."""
        mtu, source, target = int.from_bytes(body[4:8], "big"), body[16:32], body[32:48]
        if source in self.own() and mtu < self._host.mtu:
            self.path_mtus.pop(target, None)
            if len(self.path_mtus) >= MOST:
                del self.path_mtus[next(iter(self.path_mtus))]
            self.path_mtus[target] = (max(mtu, ipv6.LEAST_MTU), now)

    def _discovery(self, kind: int, heard: Received) -> None:
        body, now = heard.body, heard.time
        if kind == icmpv6.ROUTER_ADVERTISEMENT:
            if heard.source[:2] == b"\xfe\x80" and len(body) >= 16:
                self._take_advertisement(heard)
            return
        if len(body) < 24:
            return
        target = body[8:24]
        options = dict(icmpv6.options(body[24:]))
        if kind == icmpv6.NEIGHBOUR_SOLICITATION:
            if target not in self.own():
                return
            if heard.source == ipv6.ANY and target in self.tentative:
                self._duplicate(target, heard.mac)
                return
            mac = options.get(icmpv6.SOURCE_LINK_LAYER, b"")[:6]
            if heard.source != ipv6.ANY and len(mac) == 6:
                self.neighbours.learn(heard.source, mac, now)
            self._advertise(target, heard)
            return
        mac = options.get(icmpv6.TARGET_LINK_LAYER, heard.mac)[:6]
        if target in self.own():
            if target in self.tentative:
                self._duplicate(target, mac)
        elif not mac[0] & 1:
            self.neighbours.learn(target, mac, now)
            self._host.tell(Learnt(target, mac), now)

    def _advertise(self, target: bytes, heard: Received) -> None:
        body = target + icmpv6.link_layer(icmpv6.TARGET_LINK_LAYER, self._host.mac)
        if heard.source == ipv6.ANY:
            mac = ipv6.multicast_mac(ipv6.ALL_NODES)
            flags, to = icmpv6.OVERRIDE, ipv6.ALL_NODES
        else:
            mac, flags, to = heard.mac, icmpv6.SOLICITED | icmpv6.OVERRIDE, heard.source
        self._discover(mac, icmpv6.NEIGHBOUR_ADVERTISEMENT, flags, body, target, to)

    def _duplicate(self, address: bytes, mac: bytes) -> None:
        self.tentative.discard(address)
        if address == self.address:
            self.clear()
        self._host.duplicate(address, mac)

    def _take_advertisement(self, heard: Received) -> None:
        """RFC 4862 5.5.3: make an address of the first prefix that is for that, once."""
        mac, mtu = NO_MAC, 0
        fresh = False
        for kind, content in icmpv6.options(heard.body[16:]):
            if kind == icmpv6.SOURCE_LINK_LAYER:
                mac = content[:6]
            elif kind == icmpv6.MTU and len(content) == 6:
                mtu = int.from_bytes(content[2:6], "big")
            elif kind == icmpv6.PREFIX and len(content) == 30:
                length, flags, valid, prefix = content[0], content[1], content[2:6], content[14:30]
                usable = flags & 0x40 and length == 64 and any(valid) and prefix[:2] != b"\xfe\x80"
                if usable and self.address == ipv6.ANY:
                    self.address, self.prefix = ipv6.from_prefix(prefix, self._host.mac), length
                    self.eui64 = fresh = True
        if self.address == ipv6.ANY:
            return
        if int.from_bytes(heard.body[6:8], "big"):
            self.router, self.router_mac = heard.source, mac if any(mac) else heard.mac
        elif heard.source == self.router:
            self.router, self.router_mac = ipv6.ANY, NO_MAC
        if fresh:
            if ipv6.LEAST_MTU <= mtu < self._host.mtu:
                self._host.mtu = mtu
            self.detect_duplicates(self.address, heard.time)
            self._host.tell(Learnt(self.address, self._host.mac), heard.time)

    def _dispatch(self, frame: bytes, packet: ipv6.Packet, heard: Received) -> None:
        host = self._host
        if heard.protocol == udp.PROTOCOL:
            datagram = udp.parse(heard.body, heard.source, heard.target)
            if datagram is None:
                return
            if (udp.PROTOCOL, datagram.target) in host.claims:
                host.tell(heard, heard.time)
            elif heard.ttl == 1:
                self._error(frame, packet, icmpv6.UNREACHABLE, icmpv6.PORT_UNREACHABLE)
            else:
                (check,) = struct.unpack_from("!H", heard.body, 6)
                self._answering.datagram(heard, datagram, check << 32 | int(heard.time * 50))
        elif heard.protocol == tcp.PROTOCOL:
            if (tcp.PROTOCOL, int.from_bytes(heard.body[2:4], "big")) in host.claims:
                host.tell(heard, heard.time)
            elif (segment := tcp.parse(heard.body, heard.source, heard.target)) is not None:
                self._answering.segment(heard, segment)
        elif heard.protocol != ipv6.NO_NEXT:
            self._error(frame, packet, icmpv6.PARAMETER_PROBLEM, icmpv6.UNRECOGNISED_HEADER, 6)

    def _answer(self, packet: Received, body: bytes, _ident: int | None = None) -> None:
        self.send(packet.mac, packet.source, packet.protocol, body, source=packet.target)

    def _reassembly_expired(self, frame: bytes) -> None:
        packet = ipv6.parse(frame, HEADER)
        if packet is not None:
            self._error(frame, packet, icmpv6.TIME_EXCEEDED, 1)

    def _error(self, frame: bytes, packet: ipv6.Packet, kind: int, code: int, number: int = 0) -> None:
        """Send an ICMPv6 error about a packet, unless it must have none (RFC 4443 2.4 e)."""
        about_error = packet.protocol == icmpv6.PROTOCOL and (not packet.body or packet.body[0] < 128)
        if about_error or packet.source == ipv6.ANY or packet.target not in self.own():
            return
        quoted = frame[HEADER : HEADER + min(packet.length, QUOTED)]
        body = icmpv6.build(kind, code, number, quoted, packet.target, packet.source)
        self.send(frame[6:12], packet.source, icmpv6.PROTOCOL, body, source=packet.target)

    def _solicit(self, address: bytes, source: bytes, target: bytes, mac: bytes) -> None:
        option = b"" if source == ipv6.ANY else icmpv6.link_layer(icmpv6.SOURCE_LINK_LAYER, self._host.mac)
        self._discover(mac, icmpv6.NEIGHBOUR_SOLICITATION, 0, address + option, source, target)

    def _discover(self, mac: bytes, kind: int, flags: int, body: bytes, source: bytes, target: bytes) -> None:
        message = icmpv6.build(kind, 0, flags, body, source, target)
        packet = ipv6.build(source, target, icmpv6.PROTOCOL, message, LOCAL_HOPS)
        self._host.send(mac + self._host.mac + IPV6 + packet)
