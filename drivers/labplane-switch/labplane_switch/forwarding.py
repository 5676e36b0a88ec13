"""Where a frame goes: what was learnt of MAC addresses, and the decision. No sockets; the caller tells the time."""

from collections import OrderedDict
from collections.abc import Collection

HEADER = 14  # bytes: destination, source, type
MOST_ADDRESSES = 8192


class MacTable:
    """At which port each MAC address was seen last.

    ageing: seconds after which an address that is silent is forgotten.
    limit:  how many addresses it holds. For one more, the one that was silent longest makes room, so that a flood of
            made-up addresses takes no memory and drives out those that speak last.
    """

    def __init__(self, ageing: float, limit: int = MOST_ADDRESSES) -> None:
        self.ageing = ageing
        self._limit = limit
        self._seen: OrderedDict[bytes, tuple[int, float]] = OrderedDict()  # port and time, silent longest first

    def learn(self, address: bytes, port: int, now: float) -> None:
        """`address` has spoken at `port`, wherever it was before. A group address is nobody's and is not learnt."""
        if is_group(address):
            return
        self._seen[address] = (port, now)
        self._seen.move_to_end(address)
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)

    def find(self, address: bytes, now: float) -> int | None:
        """The port of `address`, None when it is unknown or was silent for too long."""
        found = self._seen.get(address)
        return found[0] if found is not None and now - found[1] < self.ageing else None

    def clear(self) -> None:
        """Forget all."""
        self._seen.clear()

    def forget(self, port: int) -> None:
        """Forget all that was seen at `port`."""
        for address in [address for address, (where, _) in self._seen.items() if where == port]:
            del self._seen[address]

    def size(self, now: float) -> int:
        """How many addresses are known; those that are too old go now."""
        while self._seen:
            oldest = next(iter(self._seen))
            if self.find(oldest, now) is not None:
                break
            del self._seen[oldest]
        return len(self._seen)


def is_group(address: bytes) -> bool:
    """True for multicast and broadcast addresses: the first bit on the wire is set."""
    return bool(address[0] & 1)


def egress(
    frame: bytes, ingress: int, ports: Collection[int], table: MacTable, now: float, vlan: bytes = b""
) -> Collection[int]:
    """To which of `ports` the `frame` goes that came in at `ingress`; its source is learnt on the way.

    vlan: where addresses are told apart by VLANs: what stands for the frame's.

    A known address's frame goes to its port, or nowhere when that is `ingress`; any other goes to all but `ingress`.
    The frame must be longer than its HEADER or as long.
    """
    destination = frame[:6] + vlan
    table.learn(frame[6:12] + vlan, ingress, now)
    if not is_group(destination):
        known = table.find(destination, now)
        if known is not None:
            return () if known == ingress else (known,)
    return [port for port in ports if port != ingress]
