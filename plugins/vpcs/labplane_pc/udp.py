"""UDP datagrams (RFC 768; over IPv6 RFC 8200 8.1)."""

import struct
from typing import NamedTuple

from labplane_pc.checksum import checksum, is_intact, pseudo_header

PROTOCOL = 17
HEADER = 8
FORM = struct.Struct("!HHHH")


class Datagram(NamedTuple):
    """A datagram: the port it comes from, the port it goes to, what it carries."""

    source: int
    target: int
    body: bytes


def parse(data: bytes, source: bytes, target: bytes) -> Datagram | None:
    """The datagram in the body of an IP packet between these addresses; None unless it is whole and intact."""
    if len(data) < HEADER:
        return None
    near, far, length, check = FORM.unpack_from(data)
    if length < HEADER or length > len(data):
        return None
    data = data[:length]
    if check:
        if not is_intact(data, pseudo_header(source, target, PROTOCOL, length)):
            return None
    elif len(source) == 16:
        return None
    return Datagram(near, far, data[HEADER:])


def build(near: int, far: int, body: bytes, source: bytes, target: bytes) -> bytes:
    """The body of an IP packet that carries a datagram from port `near` to port `far`."""
    length = HEADER + len(body)
    bare = FORM.pack(near, far, length, 0) + body
    check = checksum(bare, pseudo_header(source, target, PROTOCOL, length))
    return FORM.pack(near, far, length, check) + body
