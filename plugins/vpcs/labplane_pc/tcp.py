"""TCP segments (RFC 9293)."""

import struct
from typing import NamedTuple

from labplane_pc.checksum import checksum, is_intact, pseudo_header

PROTOCOL = 6
HEADER = 20
FORM = struct.Struct("!HHIIBBHHH")
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
WINDOW = 0x0B68
MSS_1460 = b"\x02\x04\x05\xb4"
MASK = 0xFFFFFFFF


class Segment(NamedTuple):
    """A segment, without its options."""

    source: int
    target: int
    seq: int
    ack: int
    flags: int
    body: bytes

    @property
    def after(self) -> int:
        """The sequence number after this segment: SYN and FIN count as one byte each."""
        return (self.seq + len(self.body) + bool(self.flags & SYN) + bool(self.flags & FIN)) & MASK


def parse(data: bytes, source: bytes, target: bytes, *, checked: bool = True) -> Segment | None:
    """The segment in the body of an IP packet between these addresses; None unless it is whole and intact.

    checked: False for an answer of VPCS, whose checksums are wrong; the sequence numbers then have to be right.
    """
    if len(data) < HEADER:
        return None
    if checked and not is_intact(data, pseudo_header(source, target, PROTOCOL, len(data))):
        return None
    near, far, seq, ack, offset, flags, _, _, _ = FORM.unpack_from(data)
    size = (offset >> 4) * 4
    if size < HEADER or size > len(data):
        return None
    return Segment(near, far, seq, ack, flags, data[size:])


def build(segment: Segment, source: bytes, target: bytes, options: bytes = b"") -> bytes:
    """The body of an IP packet that carries `segment`; options: in a whole number of 32-bit words."""
    near, far, seq, ack, flags, body = segment
    offset = (HEADER + len(options)) << 2
    rest = options + body
    bare = FORM.pack(near, far, seq, ack, offset, flags, WINDOW, 0, 0) + rest
    check = checksum(bare, pseudo_header(source, target, PROTOCOL, len(bare)))
    return FORM.pack(near, far, seq, ack, offset, flags, WINDOW, check, 0) + rest
