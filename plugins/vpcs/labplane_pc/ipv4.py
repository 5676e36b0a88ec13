"""IPv4 packets and their fragments (RFC 791)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER = 20
VERSION_AND_SIZE = 0x4500  # what a header without options begins with
FORM = struct.Struct("!BBHHHBBH4s4s")
DONT_FRAGMENT = 0x4000
MORE_FRAGMENTS = 0x2000
OFFSET = 0x1FFF
ANY = bytes(4)
ALL = b"\xff" * 4


class Header(NamedTuple):
    """The header of an IPv4 packet. length: of the whole packet in bytes; size: of the header with its options."""

    size: int
    length: int
    ident: int
    flags: int
    ttl: int
    protocol: int
    source: bytes
    target: bytes


def parse(packet: bytes, at: int) -> Header | None:
    """The header that begins `at` in `packet`; None unless it is whole, intact and not longer than what is there."""
    if len(packet) - at < HEADER:
        return None
    first, _, length, ident, flags, ttl, protocol, _, source, target = FORM.unpack_from(packet, at)
    size = (first & 15) * 4
    if first >> 4 != 4 or size < HEADER or length < size or length > len(packet) - at:
        return None
    if int.from_bytes(packet[at : at + size], "big") % 0xFFFF:  # `is_intact`, without a call
        return None
    return Header(size, length, ident, flags, ttl, protocol, source, target)


def build(source: bytes, target: bytes, protocol: int, body: bytes, *, ttl: int, ident: int, flags: int = 0) -> bytes:
    """The packet that carries `body`."""
    length = HEADER + len(body)
    total = VERSION_AND_SIZE + length + ident + flags + (ttl << 8) + protocol + int.from_bytes(source + target, "big")
    check = 0xFFFF - total % 0xFFFF
    return FORM.pack(0x45, 0, length, ident, flags, ttl, protocol, check, source, target) + body


def fragments(packet: bytes, mtu: int) -> Iterator[bytes]:
    """The pieces of `packet`, which has a header without options, that a link with that `mtu` takes."""
    if len(packet) <= mtu:
        yield packet
        return
    _, _, _, ident, flags, ttl, protocol, _, source, target = FORM.unpack_from(packet)
    room = (mtu - HEADER) // 8 * 8
    for begin in range(HEADER, len(packet), room):
        body = packet[begin : begin + room]
        more = MORE_FRAGMENTS if begin + room < len(packet) else 0
        place = (flags & DONT_FRAGMENT) | more | (begin - HEADER) // 8
        yield build(source, target, protocol, body, ttl=ttl, ident=ident, flags=place)


def is_unicast(address: bytes) -> bool:
    """Whether `address` can be that of one host."""
    return 0 < address[0] < 224 and address[0] != 127
