"""What a host answers by itself to UDP and TCP: each port echoes, and each port accepts connections, as VPCS has it."""

import random
from collections.abc import Callable

from labplane_pc import tcp, udp
from labplane_pc.tasks import Received

MOST_CONNECTIONS = 64
IDLE_SECONDS = 20.0
REMEMBERED_ECHOES = 16


class Connection:
    """An accepted TCP connection. sent: the next sequence number of ours; got: the next one of theirs."""

    __slots__ = ("closing", "got", "sent", "used")

    def __init__(self, sent: int, got: int, used: float) -> None:
        self.sent = sent
        self.got = got
        self.used = used
        self.closing = False


class Answering:
    """The UDP and TCP side of a host that serves no program. reply: sends a body back to where a packet came from, in a
    packet with that number or with one of its own.

    An echo is not echoed again, so that two hosts do not keep one forged datagram going for ever.
    """

    __slots__ = ("_connections", "_echoes", "_reply")

    def __init__(self, reply: Callable[[Received, bytes, int | None], None]) -> None:
        self._reply = reply
        self._connections: dict[tuple[bytes, bytes, int, int], Connection] = {}
        self._echoes: dict[tuple[bytes, int, int, int], None] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def datagram(self, packet: Received, datagram: udp.Datagram, ident: int) -> None:
        """Send a datagram back. ident: a number that differs from packet to packet of one sender."""
        near, far, body = datagram
        echo = (packet.source, near, far, ident)
        if echo in self._echoes:
            return
        if len(self._echoes) >= REMEMBERED_ECHOES:
            del self._echoes[next(iter(self._echoes))]
        self._echoes[echo] = None
        self._reply(packet, udp.build(far, near, body, packet.target, packet.source), ident)

    def segment(self, packet: Received, segment: tcp.Segment) -> None:
        """Take part in a connection: accept it, acknowledge what comes, close when the other side does."""
        key = (packet.source, packet.target, segment.source, segment.target)
        known = self._connections.get(key)
        if segment.flags & tcp.RST:
            self._connections.pop(key, None)
        elif segment.flags & tcp.SYN and not segment.flags & tcp.ACK:
            self._accept(key, packet, segment)
        elif known is None:
            self._refuse(packet, segment)
        else:
            self._go_on(key, known, packet, segment)

    def _accept(self, key: tuple[bytes, bytes, int, int], packet: Received, segment: tcp.Segment) -> None:
        now = packet.time
        while self._connections:
            first = next(iter(self._connections))
            if len(self._connections) < MOST_CONNECTIONS and self._connections[first].used + IDLE_SECONDS > now:
                break
            del self._connections[first]
        sent = random.getrandbits(32)
        self._connections.pop(key, None)
        self._connections[key] = Connection((sent + 1) & tcp.MASK, segment.after, now)
        self._send(packet, segment, sent, segment.after, tcp.SYN | tcp.ACK)

    def _refuse(self, packet: Received, segment: tcp.Segment) -> None:
        """RFC 9293 3.5.2: a reset for a segment of no connection."""
        if segment.flags & tcp.ACK:
            self._send(packet, segment, segment.ack, 0, tcp.RST)
        else:
            self._send(packet, segment, 0, segment.after, tcp.RST | tcp.ACK)

    def _go_on(
        self, key: tuple[bytes, bytes, int, int], known: Connection, packet: Received, segment: tcp.Segment
    ) -> None:
        known.used = packet.time
        if known.closing:
            if segment.flags & tcp.ACK and segment.ack == known.sent:
                del self._connections[key]
            return
        if not segment.body and not segment.flags & tcp.FIN:
            return
        if segment.seq == known.got:
            known.got = segment.after
            if segment.flags & tcp.FIN:
                self._send(packet, segment, known.sent, known.got, tcp.ACK)
                self._send(packet, segment, known.sent, known.got, tcp.FIN | tcp.ACK)
                known.sent = (known.sent + 1) & tcp.MASK
                known.closing = True
                return
        self._send(packet, segment, known.sent, known.got, tcp.ACK)

    def _send(self, packet: Received, segment: tcp.Segment, seq: int, ack: int, flags: int) -> None:
        answer = tcp.Segment(segment.target, segment.source, seq, ack, flags, b"")
        self._reply(packet, tcp.build(answer, packet.target, packet.source), None)
