"""ICMP for IPv4 (RFC 792, RFC 1122 3.2.2)."""

import struct

from labplane_pc.checksum import checksum

PROTOCOL = 1
ECHO_REPLY = 0
UNREACHABLE = 3
REDIRECT = 5
ECHO = 8
TIME_EXCEEDED = 11
PARAMETER_PROBLEM = 12
ERRORS = frozenset((UNREACHABLE, 4, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM))
PROTOCOL_UNREACHABLE = 2
PORT_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
REASSEMBLY_TIME = 1
HEADER = 8
QUOTED = 44  # bytes of the packet that an error is about: its header and what tells connections apart, and some more
FORM = struct.Struct("!BBHHH")

UNREACHABLE_TEXTS = (
    "Destination network unreachable",
    "Destination host unreachable",
    "Destination protocol unreachable",
    "Destination port unreachable",
    "Fragmentation required, and DF flag set",
    "Source route failed",
    "Destination network unknown",
    "Destination host unknown",
    "Source host isolated",
    "Network administratively prohibited",
    "Host administratively prohibited",
    "Network unreachable for TOS",
    "Host unreachable for TOS",
    "Communication administratively prohibited",
)
TIME_TEXTS = ("TTL expired in transit", "Fragment reassembly time exceeded")


def build(kind: int, code: int, first: int, second: int, body: bytes) -> bytes:
    """A message; first, second: the two halves of what stands after the checksum."""
    check = checksum(body, (kind << 8) + code + first + second)
    return FORM.pack(kind, code, check, first, second) + body


def text(kind: int, code: int) -> str:
    """What an error says, in words; empty when there are none for it."""
    texts = {UNREACHABLE: UNREACHABLE_TEXTS, TIME_EXCEEDED: TIME_TEXTS}.get(kind, ())
    return texts[code] if code < len(texts) else ""
