"""The table of neighbours: which MAC address has which IP address, of either version (RFC 826, RFC 4861)."""

from collections.abc import Iterator

MOST = 32
SECONDS = 120.0


class Neighbours:
    """At most `MOST` neighbours, each for `SECONDS`; the one that was learnt first makes way."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, address: bytes, mac: bytes, now: float) -> None:
        """Take note that `mac` has `address`."""
        known = self._known
        known.pop(address, None)
        if len(known) >= MOST:
            del known[next(iter(known))]
        known[address] = (mac, now)

    def find(self, address: bytes, now: float) -> bytes | None:
        """The MAC address of `address`, None when it is not known or was learnt too long ago."""
        mac, learnt = self._known.get(address, (None, 0.0))
        if mac is not None and learnt + SECONDS <= now:
            del self._known[address]
            return None
        return mac

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()

    def current(self, now: float) -> Iterator[tuple[bytes, bytes, float]]:
        """The address, MAC address and seconds left of each."""
        for address, (mac, learnt) in self._known.items():
            if learnt + SECONDS > now:
                yield address, mac, learnt + SECONDS - now
