"""The Address Resolution Protocol (RFC 826) and address conflict detection (RFC 5227)."""

import struct
from typing import NamedTuple

from labplane_pc.ethernet import ARP, BROADCAST

REQUEST = 1
REPLY = 2
FORM = struct.Struct("!HHBBH6s4s6s4s")
ETHERNET_IPV4 = (1, 0x0800, 6, 4)


class Arp(NamedTuple):
    """An ARP packet for IPv4 over Ethernet."""

    operation: int
    sender_mac: bytes
    sender: bytes
    target_mac: bytes
    target: bytes


def parse(frame: bytes) -> Arp | None:
    """The ARP packet in an Ethernet frame, None for anything else."""
    if len(frame) < 14 + FORM.size:
        return None
    *kinds, operation, sender_mac, sender, target_mac, target = FORM.unpack_from(frame, 14)
    if tuple(kinds) != ETHERNET_IPV4:
        return None
    return Arp(operation, sender_mac, sender, target_mac, target)


def request(mac: bytes, address: bytes, target: bytes) -> bytes:
    """The frame that asks who has `target`; a probe when `address` is 0.0.0.0."""
    return BROADCAST + mac + ARP + FORM.pack(*ETHERNET_IPV4, REQUEST, mac, address, bytes(6), target)


def reply(mac: bytes, address: bytes, asker: Arp) -> bytes:
    """The frame that tells `asker` that `mac` has `address`."""
    return asker.sender_mac + mac + ARP + FORM.pack(*ETHERNET_IPV4, REPLY, mac, address, asker.sender_mac, asker.sender)
