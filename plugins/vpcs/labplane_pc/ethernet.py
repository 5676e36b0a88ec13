"""Ethernet II frames (IEEE 802.3, RFC 894)."""

HEADER = 14
BROADCAST = b"\xff" * 6
ARP = b"\x08\x06"
IPV4 = b"\x08\x00"
IPV6 = b"\x86\xdd"


def mac_text(mac: bytes) -> str:
    """A MAC address as people write it."""
    return mac.hex(":")
