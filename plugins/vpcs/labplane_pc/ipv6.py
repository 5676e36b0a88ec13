"""IPv6 packets, their extension headers and fragments (RFC 8200), and addresses (RFC 4291)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER = 40
FORM = struct.Struct("!IHBB16s16s")
FRAGMENT = 44
NO_NEXT = 59
SKIPPED = frozenset((0, 43, 60))  # hop-by-hop options, routing, destination options
MOST_HEADERS = 8
ANY = bytes(16)
ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
ALL_ROUTERS = bytes.fromhex("ff020000000000000000000000000002")
SOLICITED = bytes.fromhex("ff0200000000000000000001ff")
LINK_LOCAL = bytes.fromhex("fe80000000000000")
LEAST_MTU = 1280


class Packet(NamedTuple):
    """An IPv6 packet behind its extension headers. fragment: (offset, more, id), None when it is a whole one."""

    protocol: int
    hops: int
    source: bytes
    target: bytes
    body: bytes
    length: int
    fragment: tuple[int, bool, int] | None


def parse(packet: bytes, at: int) -> Packet | None:
    """The packet that begins `at`; None unless it is whole and its extension headers are."""
    if len(packet) - at < HEADER:
        return None
    first, length, following, hops, source, target = FORM.unpack_from(packet, at)
    if first >> 28 != 6 or length > len(packet) - at - HEADER:
        return None
    body = packet[at + HEADER : at + HEADER + length]
    for _ in range(MOST_HEADERS):
        if following in SKIPPED:
            if len(body) < 8 or len(body) < (size := 8 + body[1] * 8):
                return None
            following, body = body[0], body[size:]
        elif following == FRAGMENT:
            if len(body) < 8:
                return None
            place, ident = struct.unpack_from("!HI", body, 2)
            fragment = (place & 0xFFF8, bool(place & 1), ident)
            return Packet(body[0], hops, source, target, body[8:], HEADER + length, fragment)
        else:
            return Packet(following, hops, source, target, body, HEADER + length, None)
    return None


def build(source: bytes, target: bytes, protocol: int, body: bytes, hops: int) -> bytes:
    """The packet that carries `body`."""
    return FORM.pack(6 << 28, len(body), protocol, hops, source, target) + body


def fragments(packet: bytes, mtu: int, ident: int) -> Iterator[bytes]:
    """The pieces of `packet`, which has no extension headers, that a path with that `mtu` takes (RFC 8200 4.5)."""
    if len(packet) <= mtu:
        yield packet
        return
    _, _, protocol, hops, source, target = FORM.unpack_from(packet)
    room = (mtu - HEADER - 8) // 8 * 8
    for begin in range(HEADER, len(packet), room):
        more = begin + room < len(packet)
        head = struct.pack("!BBHI", protocol, 0, (begin - HEADER) | more, ident)
        yield build(source, target, FRAGMENT, head + packet[begin : begin + room], hops)


def link_local(mac: bytes) -> bytes:
    """The link-local address of an interface (RFC 4291 2.5.6, appendix A)."""
    return LINK_LOCAL + bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]


def from_prefix(prefix: bytes, mac: bytes) -> bytes:
    """The address with the interface identifier that VPCS makes of `mac`: bit 0x20 where RFC 4291 has 0x02.

    It is as good an identifier, and a lab that goes from one to the other keeps its addresses.
    """
    first = mac[0] & 0xEF if mac[0] & 0x20 else mac[0] | 0x20
    return prefix[:8] + bytes((first,)) + mac[1:3] + b"\xff\xfe" + mac[3:]


def multicast_mac(address: bytes) -> bytes:
    """The Ethernet address of a multicast group (RFC 2464 7)."""
    return b"\x33\x33" + address[12:]


def solicited_node(address: bytes) -> bytes:
    """The group that hears solicitations for `address` (RFC 4291 2.7.1)."""
    return SOLICITED + address[13:]


def in_prefix(address: bytes, prefix: bytes, length: int) -> bool:
    """Whether `address` begins as `prefix` does, in `length` bits."""
    shift = 128 - length
    return int.from_bytes(address, "big") >> shift == int.from_bytes(prefix, "big") >> shift
