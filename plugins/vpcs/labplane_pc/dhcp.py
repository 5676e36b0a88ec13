"""The messages of DHCP for IPv4 (RFC 2131, RFC 2132), as a client sends and reads them."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

SERVER_PORT = 67
CLIENT_PORT = 68
MAGIC = b"\x63\x82\x53\x63"
FORM = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
KINDS = ("Discover", "Offer", "Request", "Decline", "Ack", "Nak", "Release", "Inform")
MASK, ROUTERS, DNS, HOST_NAME, DOMAIN = 1, 3, 6, 12, 15
REQUESTED, LEASE, KIND, SERVER, WANTED, RENEWAL, REBINDING, CLIENT = 50, 51, 53, 54, 55, 58, 59, 61
PAD, END = 0, 255
TTL = 16
WANTED_OPTIONS = bytes((MASK, ROUTERS, DNS, DOMAIN))


class Message(NamedTuple):
    """A message. kind: `OFFER`, `ACK` …; options: those with a fixed meaning, by number."""

    operation: int
    xid: int
    client: bytes
    yours: bytes
    server: bytes
    relay: bytes
    mac: bytes
    kind: int
    options: dict[int, bytes]

    def address(self, option: int) -> bytes | None:
        """The first address in an option."""
        data = self.options.get(option, b"")
        return data[:4] if len(data) >= 4 else None

    def seconds(self, option: int) -> int:
        """The time in an option; 0 when it has none."""
        data = self.options.get(option, b"")
        return int.from_bytes(data, "big") if len(data) == 4 else 0


def parse(data: bytes) -> Message | None:
    """The message in a datagram; None for anything else."""
    if len(data) < FORM.size + 4 or data[FORM.size : FORM.size + 4] != MAGIC:
        return None
    operation, _, length, _, xid, _, _, client, yours, server, relay, mac, _, _ = FORM.unpack_from(data)
    options: dict[int, bytes] = {}
    for option, content in _options(data[FORM.size + 4 :]):
        options[option] = options.get(option, b"") + content  # RFC 3396
    kind = options.get(KIND, b"\0")
    return Message(
        operation, xid, client, yours, server, relay, mac[: min(length, 16)], kind[0] if kind else 0, options
    )


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 1 < len(data) and data[at] != END:
        if data[at] == PAD:
            at += 1
            continue
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def build(kind: int, xid: int, mac: bytes, client: bytes, options: dict[int, bytes]) -> bytes:
    """A message of a client. client: its address, when it has one; options: in the order in which they are given."""
    head = FORM.pack(1, 1, 6, 0, xid, 0, 0, client, bytes(4), bytes(4), bytes(4), mac + bytes(10), b"", b"")
    whole = {KIND: bytes((kind,)), CLIENT: b"\x01" + mac, **options}
    coded = b"".join(bytes((option, len(content))) + content for option, content in whole.items())
    return (head + MAGIC + coded + bytes((END,))).ljust(300, b"\0")
