"""ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861, RFC 4862)."""

import struct
from collections.abc import Iterator

from labplane_pc.checksum import checksum, is_intact, pseudo_header

PROTOCOL = 58
UNREACHABLE = 1
TOO_BIG = 2
TIME_EXCEEDED = 3
PARAMETER_PROBLEM = 4
ECHO = 128
ECHO_REPLY = 129
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
NEIGHBOUR_SOLICITATION = 135
NEIGHBOUR_ADVERTISEMENT = 136
PORT_UNREACHABLE = 4
UNRECOGNISED_HEADER = 1
HEADER = 8
FORM = struct.Struct("!BBHI")
SOURCE_LINK_LAYER = 1
TARGET_LINK_LAYER = 2
PREFIX = 3
MTU = 5
SOLICITED = 0x40000000
OVERRIDE = 0x20000000

UNREACHABLE_TEXTS = (
    "No route to destination",
    "Communication with destination administratively prohibited",
    "Beyond scope of source address",
    "Address unreachable",
    "Port unreachable",
    "Source address failed ingress/egress policy",
    "Reject route to destination",
)
TIME_TEXTS = ("Hop limit exceeded in transit", "Fragment reassembly time exceeded")


def build(kind: int, code: int, number: int, body: bytes, source: bytes, target: bytes) -> bytes:
    """A message between these addresses; number: the 32 bits after the checksum."""
    bare = FORM.pack(kind, code, 0, number) + body
    check = checksum(bare, pseudo_header(source, target, PROTOCOL, len(bare)))
    return FORM.pack(kind, code, check, number) + body


def is_message(body: bytes, source: bytes, target: bytes) -> bool:
    """Whether `body` is a message between these addresses, whole and intact."""
    return len(body) >= HEADER and is_intact(body, pseudo_header(source, target, PROTOCOL, len(body)))


def options(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The options of neighbour discovery: the kind and content of each (RFC 4861 4.6); it ends at a bad one."""
    at = 0
    while at + 8 <= len(body):
        size = body[at + 1] * 8
        if not size or at + size > len(body):
            return
        yield body[at], body[at + 2 : at + size]
        at += size


def link_layer(kind: int, mac: bytes) -> bytes:
    """The option that names a MAC address."""
    return bytes((kind, 1)) + mac


def text(kind: int, code: int) -> str:
    """What an error says, in words; empty when there are none for it."""
    texts = {UNREACHABLE: UNREACHABLE_TEXTS, TIME_EXCEEDED: TIME_TEXTS}.get(kind, ())
    return texts[code] if code < len(texts) else ""
