"""A switch: how many frames it forwards between two of its ports, and what it adds to their way."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.client import BenchError
from bench.effort import Effort
from bench.lab import Lab
from bench.servers import RAW_UDP, forwarder, labplane, on_one_processor
from bench.table import Row

SIZES = (64, 1500)
IN_FLIGHT = 64
PATIENCE = 5.0
MACS = bytes.fromhex("005079666800"), bytes.fromhex("005079666801")
TYPE = b"\x08\x00"


@dataclass(frozen=True)
class Path:
    """Two PCs, played by this process, and a way between them."""

    one: socket.socket
    other: socket.socket

    def introduce(self) -> None:
        """Let both be heard once, so that a switch knows where they are."""
        for sender, hearer, source in ((self.one, self.other, MACS[0]), (self.other, self.one, MACS[1])):
            sender.send(b"\xff" * 6 + source + TYPE)
            hearer.recv(2000)

    def rate(self, size: int, seconds: float) -> float:
        """Frames per second that arrive while IN_FLIGHT are always on their way."""
        frame = (MACS[1] + MACS[0] + TYPE).ljust(size, b"\0")
        for _ in range(IN_FLIGHT):
            self.one.send(frame)
        arrived, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            for _ in range(IN_FLIGHT):
                self.other.recv(2000)
                self.one.send(frame)
            arrived += IN_FLIGHT
        for _ in range(IN_FLIGHT):
            self.other.recv(2000)
        return arrived / took

    def round_trips(self, count: int) -> list[float]:
        """Microseconds there and back of a frame of 64 bytes, sorted."""
        there, back = ((MACS[1 - n] + MACS[n] + TYPE).ljust(64, b"\0") for n in (0, 1))
        trips = []
        for _ in range(count):
            began = time.perf_counter()
            self.one.send(there)
            self.other.recv(2000)
            self.other.send(back)
            self.one.recv(2000)
            trips.append((time.perf_counter() - began) * 1e6)
        return sorted(trips)


async def switch(effort: Effort) -> list[Row]:
    """Ours, the bare forwarder and, for delays, a direct way, alternating."""
    rates: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in SIZES}
    costs: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in SIZES}
    added: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ("p50", "p99")}
    trips = int(10_000 * effort.load_seconds)
    with labplane() as server, _pair() as ours, _pair() as bare, _pair() as direct:
        near = RAW_UDP, RAW_UDP + 1
        await _switch_between(await Lab.of(server), ours)
        _connect(bare, near)
        _connect(direct, (_port(direct.other), _port(direct.one)))
        with forwarder(near, (_port(bare.one), _port(bare.other))) as floor, on_one_processor(server, floor):
            for path in (ours, bare, direct):
                path.introduce()
                path.rate(SIZES[0], effort.load_seconds / 4)
            for _ in range(effort.rounds):
                for size in SIZES:
                    for side, path, process in ((1, bare, floor), (0, ours, server)):
                        before = process.cpu_seconds()
                        rate = path.rate(size, effort.load_seconds)
                        rates[size][side].append(rate)
                        spent = process.cpu_seconds() - before
                        costs[size][side].append(spent * 1e6 / (rate * effort.load_seconds))
                least, floor_trips, our_trips = (path.round_trips(trips) for path in (direct, bare, ours))
                for name, at in (("p50", trips // 2), ("p99", trips * 99 // 100)):
                    added[name][0].append((our_trips[at] - least[at]) / 2)
                    added[name][1].append((floor_trips[at] - least[at]) / 2)
    return [
        *(
            Row(f"switch: frames of {size} bytes", "frames/s", *both, "at least 0.5 of a bare forwarder's", 0.5, True)
            for size, both in rates.items()
        ),
        *(
            Row(f"switch: processor, frames of {size} bytes", "µs/frame", *both, "at most 2 x a bare forwarder's", 2.0)
            for size, both in costs.items()
        ),
        *(
            Row(f"switch: added delay, one way, {name}", "µs", *both, "at most 2 x a bare forwarder's", 2.0)
            for name, both in added.items()
        ),
    ]


async def _switch_between(lab: Lab, path: Path) -> None:
    """Put a running switch between the two."""
    kinds = [kind for plugin in await lab.connection.call("GET", "/v1/plugins") for kind in plugin["kinds"]]
    if "switch" not in kinds:
        raise BenchError("the switch is not installed: pip install ./drivers/labplane-switch")
    project = await lab.project()
    vm = await lab.connection.call("POST", f"{project}/switch/vms", {"name": "S", "ports": 2}, 201)
    switch = f"{project}/switch/vms/{vm['vm_id']}"
    near = await lab.udp_port(), await lab.udp_port()
    for number, (lport, end) in enumerate(zip(near, (path.one, path.other), strict=True)):
        await lab.connection.timed(lab.nio(switch, lport, _port(end), number), 201)
    await lab.connection.call("POST", f"{switch}/start", {}, 204)
    _connect(path, near)


@contextmanager
def _pair() -> Iterator[Path]:
    with ExitStack() as stack:
        ends = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for end in ends:
            end.bind(("127.0.0.1", 0))
            end.settimeout(PATIENCE)
        yield Path(*ends)


def _connect(path: Path, near: tuple[int, int]) -> None:
    for end, number in zip((path.one, path.other), near, strict=True):
        end.connect(("127.0.0.1", number))


def _port(end: socket.socket) -> int:
    return int(end.getsockname()[1])
