"""A TCP connection as ``ping -P 6`` makes it: opened, some data sent, closed; each step is timed (RFC 9293)."""

import random
from collections.abc import Callable, Generator
from enum import Enum
from typing import TYPE_CHECKING, Any

from labplane_pc import icmp, icmpv6, tcp
from labplane_pc.tasks import Received, Wait

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

TRIES = 3
FILLING = b"\r\n"


class Outcome(Enum):
    """How a step ended."""

    DONE = "done"
    TIMEOUT = "timeout"
    RESET = "reset"
    ERROR = "error"


class Client:
    """One connection. send: sends the body of an IP packet. last: what came last for it; error: an ICMP error."""

    def __init__(
        self,
        pc: "VirtualPC",
        near: tuple[bytes, int],
        far: tuple[bytes, int],
        wait: float,
        send: Callable[[bytes], None],
    ) -> None:
        self._pc = pc
        self._near, self._near_port = near
        self._far, self._far_port = far
        self._wait = wait
        self._send_body = send
        self._seq = 0
        self._ack = 0
        self._segment: tcp.Segment | None = None
        self.last: Received | None = None

    def open(self) -> Generator[Wait, Any, Outcome]:
        for _ in range(TRIES):
            self._seq = random.getrandbits(32)
            expected = (self._seq + 1) & tcp.MASK
            self._send(tcp.SYN, options=tcp.MSS_1460)
            outcome = yield from self._hear(tcp.ACK, expected)
            if outcome is Outcome.DONE and self._segment is not None:
                if self._segment.flags & tcp.RST:
                    return Outcome.RESET
                self._seq, self._ack = expected, self._segment.after
                self._send(tcp.ACK)
                return Outcome.DONE
            if outcome is not Outcome.TIMEOUT:
                return outcome
        return Outcome.TIMEOUT

    def send_data(self, size: int) -> Generator[Wait, Any, Outcome]:
        data = (FILLING * (size // 2 + 1))[:size]
        expected = (self._seq + size) & tcp.MASK
        for _ in range(TRIES):
            self._send(tcp.ACK | tcp.PSH, data)
            outcome = yield from self._hear(tcp.ACK, expected)
            if outcome is not Outcome.TIMEOUT:
                self._seq = expected
                self._take_in()
                return outcome
        return Outcome.TIMEOUT

    def close(self) -> Generator[Wait, Any, Outcome]:
        expected = (self._seq + 1) & tcp.MASK
        for _ in range(TRIES):
            self._send(tcp.FIN | tcp.ACK | tcp.PSH)
            outcome = yield from self._hear(tcp.FIN, expected)
            if outcome is not Outcome.TIMEOUT:
                if outcome is Outcome.DONE and self._segment is not None and not self._segment.flags & tcp.RST:
                    self._seq = expected
                    self._take_in()
                return outcome
        return Outcome.TIMEOUT

    def _take_in(self) -> None:
        """Acknowledge what came with the segment that was waited for."""
        if self._segment is not None and self._segment.after != self._ack:
            self._ack = self._segment.after
            self._send(tcp.ACK)

    def _hear(self, flag: int, ack: int) -> Generator[Wait, Any, Outcome]:
        """Wait for a segment with that flag that acknowledges so much, for a reset, or for an ICMP error."""

        def match(event: object) -> bool:
            if not isinstance(event, Received):
                return False
            if event.protocol == tcp.PROTOCOL and event.source == self._far:
                segment = tcp.parse(event.body, event.source, event.target, checked=False)
                ours = segment is not None and (segment.source, segment.target) == (self._far_port, self._near_port)
                wanted = segment is not None and segment.flags & flag and segment.ack == ack
                if ours and segment is not None and (wanted or segment.flags & tcp.RST):
                    self._segment = segment
                    return True
                return False
            return is_error_about(event, tcp.PROTOCOL, self._near, self._far)

        heard = yield Wait(self._wait, match)
        if heard is None:
            return Outcome.TIMEOUT
        self.last = heard
        return Outcome.DONE if heard.protocol == tcp.PROTOCOL else Outcome.ERROR

    def _send(self, flags: int, body: bytes = b"", options: bytes = b"") -> None:
        segment = tcp.Segment(self._near_port, self._far_port, self._seq, self._ack, flags, body)
        self._send_body(tcp.build(segment, self._near, self._far, options))


def is_error_about(event: Received, protocol: int, source: bytes, target: bytes) -> bool:
    """Whether `event` is an ICMP error about a packet from `source` to `target`, as it quotes it."""
    quoted = event.body[8:]
    if event.protocol == icmp.PROTOCOL and len(source) == 4:
        kinds = icmp.ERRORS
        about = (quoted[9:10], quoted[12:16], quoted[16:20])
    elif event.protocol == icmpv6.PROTOCOL and len(source) == 16:
        kinds = frozenset(range(1, 5))
        about = (quoted[6:7], quoted[8:24], quoted[24:40])
        if about[0] == b"\x2c":  # the quoted packet was a fragment
            about = (quoted[40:41], *about[1:])
    else:
        return False
    return event.body[0] in kinds and about == (bytes((protocol,)), source, target)
