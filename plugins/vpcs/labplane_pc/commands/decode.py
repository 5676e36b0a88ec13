"""DHCP messages in words, for ``dhcp -d``."""

from typing import TYPE_CHECKING

from labplane_pc import dhcp
from labplane_pc.ethernet import mac_text
from labplane_pc.words import text

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

ADDRESSES = {
    dhcp.MASK: "Subnet Mask",
    dhcp.ROUTERS: "Router",
    dhcp.DNS: "DNS Server",
    dhcp.SERVER: "DHCP Server",
    dhcp.REQUESTED: "Requested IP Address",
}
TIMES = {dhcp.LEASE: "Lease Time", dhcp.RENEWAL: "Renewal Time", dhcp.REBINDING: "Rebinding Time"}
NAMES = {dhcp.HOST_NAME: "Host Name", dhcp.DOMAIN: "Domain"}


def decode(pc: "VirtualPC", message: dhcp.Message | bytes) -> None:
    """Print what a message says."""
    whole = dhcp.parse(message) if isinstance(message, bytes) else message
    if whole is None:
        return
    pc.print(f"Opcode: {whole.operation} ({'REQUEST' if whole.operation == 1 else 'REPLY'})\n")
    for label, packed in (
        ("Client", whole.client),
        ("Your", whole.yours),
        ("Server", whole.server),
        ("Gateway", whole.relay),
    ):
        pc.print(f"{label} IP Address: {text(packed)}\n")
    pc.print(f"Client MAC Address: {mac_text(whole.mac[:6])}\n")
    for option, content in whole.options.items():
        said = _said(option, content)
        if said:
            pc.print(f"Option {option}: {said}\n")
    pc.print("\n")


def _said(option: int, content: bytes) -> str:
    if option == dhcp.KIND:
        kind = content[0] if content else 0
        return f"Message Type = {dhcp.KINDS[kind - 1] if 0 < kind <= len(dhcp.KINDS) else 'Unknown'}"
    if option == dhcp.CLIENT and len(content) == 7:
        return f"Client Identifier = Hardware Type=Ethernet MAC Address = {mac_text(content[1:])}"
    if option in ADDRESSES:
        found = (content[at : at + 4] for at in range(0, len(content) - 3, 4))
        return f"{ADDRESSES[option]} = {', '.join(text(packed) for packed in found)}"
    if option in TIMES:
        return f"{TIMES[option]} = {int.from_bytes(content, 'big')}"
    if option in NAMES:
        return f"{NAMES[option]} = {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in content)}"
    return ""
