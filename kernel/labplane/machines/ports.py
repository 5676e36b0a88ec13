"""The ports of VMs: their names, their kinds and their MAC addresses."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

PORTS_OF_A_BLOCK = 1024
BLOCKS = 2**36


@dataclass(frozen=True, slots=True)
class VMPort:
    """A port of a VM, into which a link can be plugged.

    adapter, port: its numbers, as in the path of its NIO.
    name:          what the guest or its users call it, "eth0" or "GigabitEthernet0/1"; no other port of the VM has it.
    kind:          "ethernet", "serial" or what else the driver calls it; only ports of one kind go together.
    mac:           its MAC address, None where the driver does not say.
    """

    adapter: int
    port: int
    name: str
    kind: str = "ethernet"
    mac: str | None = None


@lru_cache(maxsize=256)
def named_by_number(adapters: tuple[int, ...]) -> tuple[VMPort, ...]:
    """The ports of these adapters, called eth0, eth1, and so on; adapters: the number of ports of each."""
    places = [(adapter, port) for adapter, count in enumerate(adapters) for port in range(count)]
    return tuple(VMPort(*place, f"eth{number}") for number, place in enumerate(places))


class MacBlocks:
    """MAC addresses of VMs, in blocks of 1,024: no two VMs have the same block.

    A VM's block follows from its id, so it is the same after a restart, unless another VM came first whose id leads to
    that block: among 10,000 VMs one of 1,000 servers has such a pair.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, int] = {}
        self._taken: set[int] = set()

    def address(self, vm_id: str, number: int) -> str:
        """The address of that number, from 0 to 1,023, of a VM, as "02:00:00:00:00:00"; locally administered."""
        if not 0 <= number < PORTS_OF_A_BLOCK:
            raise ValueError(f"a VM has MAC addresses from 0 to {PORTS_OF_A_BLOCK - 1}, not {number}")
        if (block := self._blocks.get(vm_id)) is None:
            block = int.from_bytes(blake2b(vm_id.encode(), digest_size=8).digest()) % BLOCKS
            while block in self._taken:
                block = (block + 1) % BLOCKS
            self._blocks[vm_id] = block
            self._taken.add(block)
        first, rest = divmod(block * PORTS_OF_A_BLOCK + number, 2**40)
        return ":".join(f"{octet:02x}" for octet in (first << 2 | 0b10, *rest.to_bytes(5)))

    def release(self, vm_id: str) -> None:
        """Forget a VM that is gone."""
        if (block := self._blocks.pop(vm_id, None)) is not None:
            self._taken.discard(block)
