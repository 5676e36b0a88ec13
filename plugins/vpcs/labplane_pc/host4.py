"""The IPv4 side of a host: its address, its neighbours, and what it does with what comes in (RFC 791, RFC 1122)."""

import random
import struct
from typing import TYPE_CHECKING

from labplane_pc import arp, icmp, ipv4, tcp, udp
from labplane_pc.answering import Answering
from labplane_pc.checksum import is_intact
from labplane_pc.dhcp import CLIENT_PORT, SERVER_PORT
from labplane_pc.ethernet import BROADCAST, HEADER, IPV4
from labplane_pc.neighbours import Neighbours
from labplane_pc.reassembly import Reassembly
from labplane_pc.tasks import Learnt, Received

if TYPE_CHECKING:
    from labplane_pc.host import Host

TTL = 64
ECHO = bytes((icmp.ECHO, 0))
PLAIN = struct.Struct("!14xBxHHHxB2x4s4s2xH4x")  # Ethernet, IPv4 without options and ICMP echo, as far as they differ
REPLY = struct.Struct("!6s6s2sBBHHHBBH4s4sBBH")


class Host4:
    """The IPv4 side of a host.

    address, prefix, gateway: as set; 0.0.0.0 and 0 when they are not.
    dns, domain: servers for names, and what is put behind a name without a dot.
    probing:     the address that is being looked for duplicates of (RFC 5227).
    """

    __slots__ = (
        "_answering",
        "_host",
        "_ident",
        "_pieces",
        "address",
        "dns",
        "domain",
        "gateway",
        "neighbours",
        "prefix",
        "probing",
    )

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._ident = random.getrandbits(16)
        self._answering = Answering(self._answer)
        self._pieces = Reassembly(host.timers, self._reassembly_expired)
        self.neighbours = Neighbours()
        self.probing: bytes | None = None
        self.clear()

    def clear(self) -> None:
        """Be without an address, gateway, DNS server and domain."""
        self.address = self.gateway = ipv4.ANY
        self.prefix = 0
        self.dns: list[bytes] = [ipv4.ANY, ipv4.ANY]
        self.domain = ""

    def sizes(self) -> tuple[int, int, int]:
        """How many neighbours, unfinished packets and connections there are."""
        return len(self.neighbours), len(self._pieces), len(self._answering)

    def is_on_link(self, address: bytes) -> bool:
        """Whether `address` is in the host's own network."""
        shift = 32 - self.prefix
        return int.from_bytes(address, "big") >> shift == int.from_bytes(self.address, "big") >> shift

    def next_hop(self, target: bytes) -> bytes | None:
        """The neighbour by way of which packets for `target` go, None without one."""
        if self.is_on_link(target):
            return target
        return self.gateway if self.gateway != ipv4.ANY else None

    def ask(self, address: bytes) -> None:
        """Send an ARP request; a probe when the host has no such address yet."""
        sender = ipv4.ANY if address == self.probing else self.address
        self._host.send(arp.request(self._host.mac, sender, address))

    def announce(self) -> None:
        """Tell all that the address is in use here (RFC 5227 2.3)."""
        self._host.send(arp.request(self._host.mac, self.address, self.address))

    def send(
        self,
        mac: bytes,
        target: bytes,
        protocol: int,
        body: bytes,
        *,
        ttl: int = TTL,
        flags: int = 0,
        source: bytes | None = None,
        mtu: int | None = None,
        ident: int | None = None,
    ) -> None:
        """Send a packet to the neighbour `mac`, in pieces when it is longer than the link takes."""
        if ident is None:
            ident = self._ident = (self._ident + 1) & 0xFFFF
        sender = self.address if source is None else source
        packet = ipv4.build(sender, target, protocol, body, ttl=ttl, ident=ident, flags=flags)
        host = self._host
        head = mac + host.mac + IPV4
        most = host.mtu if mtu is None else min(mtu, host.mtu)
        if len(packet) <= most:
            host.send(head + packet)
            return
        for piece in ipv4.fragments(packet, most):
            host.send(head + piece)

    def hear_arp(self, frame: bytes, now: float) -> None:
        """Take an ARP packet in: answer a request, learn from a reply, notice a duplicate."""
        packet = arp.parse(frame)
        mac = self._host.mac
        if packet is None or packet.sender_mac == mac or packet.sender_mac[0] & 1:
            return
        if self.probing is not None:
            claims = packet.sender == self.probing
            probes = packet.sender == ipv4.ANY and packet.operation == arp.REQUEST and packet.target == self.probing
            if claims or probes:
                self._host.tell(Learnt(self.probing, packet.sender_mac), now)
        if self.address == ipv4.ANY:
            return
        for_me = packet.target == self.address
        known = packet.sender not in (ipv4.ANY, self.address) and self.is_on_link(packet.sender)
        if known and (for_me or self.neighbours.find(packet.sender, now) is not None):
            self.neighbours.learn(packet.sender, packet.sender_mac, now)
            self._host.tell(Learnt(packet.sender, packet.sender_mac), now)
        if packet.operation == arp.REQUEST and for_me:
            self._host.send(arp.reply(mac, self.address, packet))

    def hear(self, frame: bytes, now: float) -> None:
        """Take a frame with an IPv4 packet in."""
        host = self._host
        if frame[:6] != host.mac:
            if frame[:6] != BROADCAST:
                return
        elif frame[34:36] == ECHO and self._echo_at_once(frame):
            return
        head = ipv4.parse(frame, HEADER)
        if head is None:
            return
        if head.length > host.mtu:
            self._error(frame, head, icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, host.mtu)
            return
        body = frame[HEADER + head.size : HEADER + head.length]
        length = head.length
        if head.flags & (ipv4.MORE_FRAGMENTS | ipv4.OFFSET):
            if head.target != self.address:
                return
            key = (head.source, head.protocol, head.ident)
            offset, more = (head.flags & ipv4.OFFSET) * 8, bool(head.flags & ipv4.MORE_FRAGMENTS)
            whole = self._pieces.add(key, offset, body, more, frame, now)
            if whole is None:
                return
            body, length = whole, head.size + len(whole)
        if head.protocol == icmp.PROTOCOL and head.target == self.address and body[:2] == ECHO and len(body) > 7:
            self._echo(frame, head, body)
        else:
            self._dispatch(frame, head, Received(*head[5:8], head.ttl, length, body, frame[6:12], now))

    def _echo_at_once(self, frame: bytes) -> bool:
        """The same as `_echo` for a plain request, which most frames are, in a fifth of the time; False for others."""
        if len(frame) < PLAIN.size:
            return False
        first, length, ident, flags, protocol, source, target, check = PLAIN.unpack_from(frame)
        end = HEADER + length
        if first != 0x45 or protocol != icmp.PROTOCOL or flags & ~ipv4.DONT_FRAGMENT or not PLAIN.size <= end:
            return False
        host = self._host
        if target != self.address or end > len(frame) or length > host.mtu or not ipv4.is_unicast(source):
            return False
        body = int.from_bytes(frame[34:end], "big") << 8 * (length & 1)
        if body % 0xFFFF or int.from_bytes(frame[HEADER:34], "big") % 0xFFFF:
            return False
        total = ipv4.VERSION_AND_SIZE + length + ident + (TTL << 8) + protocol + int.from_bytes(frame[26:34], "big")
        host.send(
            REPLY.pack(
                *(frame[6:12], host.mac, IPV4),
                *(0x45, 0, length, ident, 0, TTL, protocol, 0xFFFF - total % 0xFFFF, target, source),
                *(0, 0, (check + 0x0800) % 0xFFFF),  # RFC 1624: the type goes from 8 to 0
            )
            + frame[38:end]
        )
        return True

    def _echo(self, frame: bytes, head: ipv4.Header, body: bytes) -> None:
        """RFC 1122 3.2.2.6."""
        if not ipv4.is_unicast(head.source) or head.target == ipv4.ANY:
            return
        total = int.from_bytes(body, "big") << 8 * (len(body) & 1)
        if total % 0xFFFF:
            return
        check = int.from_bytes(body[2:4], "big") + 0x0800
        body = b"\0\0" + (check % 0xFFFF).to_bytes(2, "big") + body[4:]
        packet = ipv4.build(head.target, head.source, icmp.PROTOCOL, body, ttl=TTL, ident=head.ident)
        for piece in ipv4.fragments(packet, self._host.mtu):
            self._host.send(frame[6:12] + self._host.mac + IPV4 + piece)

    def _dispatch(self, frame: bytes, head: ipv4.Header, packet: Received) -> None:
        host, mine = self._host, head.target == self.address and self.address != ipv4.ANY
        if head.protocol == udp.PROTOCOL:
            datagram = udp.parse(packet.body, head.source, head.target)
            if datagram is None:
                return
            from_server = datagram.source == SERVER_PORT and datagram.target == CLIENT_PORT
            if from_server or (mine and (udp.PROTOCOL, datagram.target) in host.claims):
                host.tell(packet, packet.time)
            elif mine and ipv4.is_unicast(head.source) and frame[:6] != BROADCAST:
                if head.ttl == 1:
                    self._error(frame, head, icmp.UNREACHABLE, icmp.PORT_UNREACHABLE)
                else:
                    self._answering.datagram(packet, datagram, head.ident)
        elif not mine or not ipv4.is_unicast(head.source):
            return
        elif head.protocol == icmp.PROTOCOL:
            if len(packet.body) >= icmp.HEADER and is_intact(packet.body):
                host.tell(packet, packet.time)
        elif head.protocol == tcp.PROTOCOL:
            if (tcp.PROTOCOL, int.from_bytes(packet.body[2:4], "big")) in host.claims:
                host.tell(packet, packet.time)
            elif (segment := tcp.parse(packet.body, head.source, head.target)) is not None:
                self._answering.segment(packet, segment)
        else:
            self._error(frame, head, icmp.UNREACHABLE, icmp.PROTOCOL_UNREACHABLE)

    def _answer(self, packet: Received, body: bytes, ident: int | None = None) -> None:
        self.send(packet.mac, packet.source, packet.protocol, body, source=packet.target, ident=ident)

    def _reassembly_expired(self, frame: bytes) -> None:
        head = ipv4.parse(frame, HEADER)
        if head is not None:
            self._error(frame, head, icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME)

    def _error(self, frame: bytes, head: ipv4.Header, kind: int, code: int, number: int = 0) -> None:
        """Send an ICMP error about a packet, unless it must have none (RFC 1122 3.2.2)."""
        if head.target != self.address or frame[:6] == BROADCAST or not ipv4.is_unicast(head.source):
            return
        inner = frame[HEADER + head.size : HEADER + head.size + 1]
        if head.flags & ipv4.OFFSET or (head.protocol == icmp.PROTOCOL and (not inner or inner[0] in icmp.ERRORS)):
            return
        quoted = frame[HEADER : HEADER + min(head.length, icmp.QUOTED)]
        self.send(frame[6:12], head.source, icmp.PROTOCOL, icmp.build(kind, code, 0, number, quoted))
