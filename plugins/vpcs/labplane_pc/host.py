"""A network host with one Ethernet interface, without sockets and clocks: frames and the time in, frames out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labplane_pc import ethernet
from labplane_pc.host4 import Host4
from labplane_pc.host6 import Host6
from labplane_pc.tasks import Event
from labplane_pc.timers import Timers

MTU = 1500
MOST_FRAME = 65549


class Host:
    """The host. Frames of any bytes may be given to `receive`; nothing raises, and no table grows without bound.

    send:      takes a frame that goes out.
    tell:      takes what somebody may wait for, an `Event`, and the time.
    duplicate: told an address of the host and the MAC address of another that has it.
    claims:    the protocol and port of what a task has open: what comes for it is told instead of answered.
    """

    __slots__ = ("claims", "duplicate", "four", "mac", "mtu", "send", "six", "tell", "timers")

    def __init__(
        self,
        mac: bytes,
        timers: Timers,
        *,
        send: Callable[[bytes], None],
        tell: Callable[[Event, float], None],
        duplicate: Callable[[bytes, bytes], None],
    ) -> None:
        self.mac = mac
        self.timers = timers
        self.send = send
        self.tell = tell
        self.duplicate = duplicate
        self.mtu = MTU
        self.claims: set[tuple[int, int]] = set()
        self.four = Host4(self)
        self.six = Host6(self)

    def receive(self, frame: bytes, now: float) -> None:
        """Take a frame that came in."""
        if len(frame) < ethernet.HEADER or frame[6] & 1 or len(frame) > MOST_FRAME:
            return
        kind = frame[12:14]
        if kind == ethernet.IPV4:
            self.four.hear(frame, now)
        elif kind == ethernet.ARP:
            self.four.hear_arp(frame, now)
        elif kind == ethernet.IPV6:
            self.six.hear(frame, now)

    @contextmanager
    def claimed(self, protocol: int, port: int) -> Iterator[None]:
        """Have what comes for that port told, while the block runs."""
        self.claims.add((protocol, port))
        try:
            yield
        finally:
            self.claims.discard((protocol, port))
