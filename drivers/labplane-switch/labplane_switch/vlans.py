"""VLANs (IEEE 802.1Q): to which one a frame belongs, and in which form it leaves. No sockets."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from labplane_switch.forwarding import HEADER

TAG = b"\x81\x00"  # where a frame without a tag has its type
ALL = range(1, 4095)


@dataclass(frozen=True, slots=True)
class Membership:
    """The VLANs of a port.

    native: the one whose frames have no tag there; None when a frame without one is dropped.
    tagged: those whose frames have a tag there.
    """

    native: int | None
    tagged: Collection[int] = ()

    def has(self, vlan: int) -> bool:
        return vlan == self.native or vlan in self.tagged


USUAL = Membership(1)


class Classified(NamedTuple):
    """A frame in both of its forms, with the VLAN that it belongs to."""

    vlan: int
    bare: bytes
    tagged: bytes


class Vlans:
    """The VLANs of a switch.

    ports: those of each port, as the setting `vlans` has them; one that is not there is an access port of VLAN 1.
    """

    def __init__(self, ports: Mapping[int, Any]) -> None:
        self._ports = {number: _membership(port) for number, port in ports.items()}

    def classified(self, frame: bytes, ingress: int) -> Classified | None:
        """A frame that came in there; None when that port does not let it in. It must be as long as HEADER."""
        port = self._ports.get(ingress, USUAL)
        control, bare = 0, frame
        if frame[12:14] == TAG:
            if len(frame) < HEADER + 4:
                return None
            control, bare = int.from_bytes(frame[14:16], "big"), frame[:12] + frame[16:]
        vlan = control & 0xFFF or port.native
        if vlan is None or not port.has(vlan):
            return None
        tag = TAG + (control & 0xF000 | vlan).to_bytes(2, "big")
        return Classified(vlan, bare, bare[:12] + tag + bare[12:])

    def members(self, vlan: int, ports: Iterable[int]) -> list[int]:
        """Those of `ports` that are in that VLAN."""
        return [number for number in ports if self._ports.get(number, USUAL).has(vlan)]

    def leaving(self, frame: Classified, egress: int) -> bytes:
        """The frame as it leaves there."""
        return frame.bare if self._ports.get(egress, USUAL).native == frame.vlan else frame.tagged


def _membership(port: Any) -> Membership:
    if isinstance(port, int):
        return Membership(port)
    given = {} if port == "trunk" else port
    return Membership(given.get("native", 1), frozenset(given["allowed"]) if "allowed" in given else ALL)
