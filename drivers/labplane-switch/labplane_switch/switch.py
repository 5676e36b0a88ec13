"""A switch at work: a datagram endpoint for each port, and what passed through it."""

import asyncio
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from labplane_switch.forwarding import HEADER, MacTable, egress
from labplane_switch.vlans import Vlans


@dataclass(slots=True)
class Counters:
    """What came in at a port, what went out, and what was lost there.

    dropped: runts that came in, frames of a VLAN that the port has not, frames that cannot go out.
    """

    frames_in: int = 0
    bytes_in: int = 0
    frames_out: int = 0
    bytes_out: int = 0
    dropped: int = 0


class Port(asyncio.DatagramProtocol):
    """One plugged port. It owns `end`, a connected, non-blocking datagram socket: a frame is a datagram.

    forward: is called with each frame that comes in.
    """

    def __init__(self, end: socket.socket, counters: Counters, forward: Callable[[bytes], None]) -> None:
        self.end = end
        self._counters = counters
        self._forward = forward
        self._closed = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Begin to take frames in."""
        try:
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=self.end)
        except BaseException:
            self.end.close()
            raise

    async def close(self) -> None:
        """Take no more frames in; on return the socket is closed."""
        self._transport.abort()
        await self._closed

    def send(self, frame: bytes) -> None:
        """Put `frame` out at once or drop it: a queue would only make what comes later late."""
        try:
            try:
                self.end.send(frame)
            except ConnectionRefusedError:  # nobody was there for a frame before this one, which was not sent yet
                self.end.send(frame)
        except OSError:
            self._counters.dropped += 1
        else:
            self._counters.frames_out += 1
            self._counters.bytes_out += len(frame)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) < HEADER:
            self._counters.dropped += 1
            return
        self._counters.frames_in += 1
        self._counters.bytes_in += len(data)
        self._forward(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody is at the far end yet, or any more. A switch goes on."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)


class Switch:
    """A switch that runs.

    table:    the MAC addresses that it knows.
    counters: of each port, by its number, since the switch was started.
    vlans:    None for a switch that knows none and forwards frames with a tag like all others.
    """

    def __init__(self, ageing: float, vlans: Vlans | None = None) -> None:
        self.table = MacTable(ageing)
        self._vlans = vlans
        self.counters: defaultdict[int, Counters] = defaultdict(Counters)
        self._ports: dict[int, Port] = {}

    @property
    def vlans(self) -> Vlans | None:
        return self._vlans

    @vlans.setter
    def vlans(self, vlans: Vlans | None) -> None:
        self._vlans = vlans
        self.table.clear()  # who was seen where is true no more

    def end(self, number: int) -> socket.socket | None:
        """The socket of that port, if it is plugged."""
        port = self._ports.get(number)
        return port.end if port is not None else None

    async def plug(self, number: int, end: socket.socket) -> None:
        """Make `end` that port's socket, in place of the one that it has."""
        former = self._ports.get(number)
        port = Port(end, self.counters[number], lambda frame: self._forward(frame, number))
        self._ports[number] = (
            port  # before it hears anything, or an address could be learnt at a port that is not there
        )
        try:
            await port.open()
        except BaseException:
            del self._ports[number]
            if former is not None:
                self._ports[number] = former
            raise
        self.table.forget(number)
        if former is not None:
            await former.close()

    async def unplug(self, number: int) -> None:
        """Close that port's socket, if it is plugged, and forget who was there."""
        port = self._ports.pop(number, None)
        if port is not None:
            self.table.forget(number)
            await port.close()

    async def close(self) -> None:
        """Unplug all; on return no socket is open."""
        for number in list(self._ports):
            await self.unplug(number)

    def _forward(self, frame: bytes, ingress: int) -> None:
        vlans, now = self._vlans, time.monotonic()
        if vlans is None:
            for number in egress(frame, ingress, self._ports, self.table, now):
                self._ports[number].send(frame)
            return
        classified = vlans.classified(frame, ingress)
        if classified is None:
            self.counters[ingress].dropped += 1
            return
        ports, vlan = vlans.members(classified.vlan, self._ports), classified.vlan.to_bytes(2, "big")
        for number in egress(frame, ingress, ports, self.table, now, vlan):
            self._ports[number].send(vlans.leaving(classified, number))
