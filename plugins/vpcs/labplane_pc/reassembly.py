"""Reassembly of fragments of either version (RFC 791, RFC 815, RFC 8200 4.5), bounded in number, size and time."""

from collections.abc import Callable, Hashable

from labplane_pc.timers import Timers

MOST = 16
SECONDS = 30.0
LONGEST = 65535


class Assembly:
    """The fragments of one packet so far. begun: when the first one came; first: the packet with offset 0."""

    __slots__ = ("begun", "end", "first", "parts")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.parts: dict[int, bytes] = {}
        self.end: int | None = None
        self.first: bytes | None = None

    def add(self, offset: int, body: bytes, more: bool, packet: bytes) -> bool:
        """Take a fragment; False when the packet cannot be right any more. Overlaps are refused (RFC 5722)."""
        end = offset + len(body)
        if end > LONGEST or not body or (more and len(body) % 8):
            return False
        if self.parts.get(offset) == body:
            return True
        if any(begin < end and offset < begin + len(part) for begin, part in self.parts.items()):
            return False
        if (not more and self.end is not None) or (self.end is not None and end > self.end):
            return False
        if not more:
            if any(begin + len(part) > end for begin, part in self.parts.items()):
                return False
            self.end = end
        if offset == 0:
            self.first = packet
        self.parts[offset] = body
        return True

    def whole(self) -> bytes | None:
        """What the fragments make together, once none is missing."""
        if self.end is None or sum(map(len, self.parts.values())) != self.end:
            return None
        return b"".join(self.parts[offset] for offset in sorted(self.parts))


class Reassembly:
    """The packets that are being put together: at most `MOST`, the oldest makes way; each for `SECONDS`.

    expired: called with the first fragment of one whose time is over, for the ICMP error about it (RFC 1122 3.3.2).
    """

    __slots__ = ("_assemblies", "_expired", "_is_timed", "_timers")

    def __init__(self, timers: Timers, expired: Callable[[bytes], None]) -> None:
        self._assemblies: dict[Hashable, Assembly] = {}
        self._timers = timers
        self._expired = expired
        self._is_timed = False

    def __len__(self) -> int:
        return len(self._assemblies)

    def add(self, key: Hashable, offset: int, body: bytes, more: bool, packet: bytes, now: float) -> bytes | None:
        """Take a fragment with the body `body`; returns the whole body when it was the last one missing."""
        known = self._assemblies.get(key)
        if known is None:
            if len(self._assemblies) >= MOST:
                del self._assemblies[next(iter(self._assemblies))]
            known = self._assemblies[key] = Assembly(now)
            self._watch()
        if not known.add(offset, body, more, packet):
            del self._assemblies[key]
            return None
        whole = known.whole()
        if whole is not None:
            del self._assemblies[key]
        return whole

    def _watch(self) -> None:
        if self._assemblies and not self._is_timed:
            self._is_timed = True
            self._timers.at(next(iter(self._assemblies.values())).begun + SECONDS, self._expire)

    def _expire(self, now: float) -> None:
        self._is_timed = False
        while self._assemblies:
            key, oldest = next(iter(self._assemblies.items()))
            if oldest.begun + SECONDS > now:
                break
            del self._assemblies[key]
            if oldest.first is not None:
                self._expired(oldest.first)
        self._watch()
