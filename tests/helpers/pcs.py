"""Virtual PCs on one wire in one process, with a clock that jumps to whatever is waited for next."""

import os
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from labplane_pc import Link, VirtualPC
from labplane_pc.commands.files import Directory

MICROSECOND = 1e-6
OUI = bytes.fromhex("0050796668")


class Wire:
    """PCs that hear each other's frames. now: the time on their clocks; frames: the latest that were sent."""

    def __init__(self, directory: Path) -> None:
        self.now = 1000.0
        self.frames: deque[bytes] = deque(maxlen=1000)
        self.pcs: list[Station] = []
        self.taps: list[Callable[[bytes], bytes | None]] = []
        self._directory = directory
        self._queue: deque[tuple[object, bytes]] = deque()
        self._open = ExitStack()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def pc(self, number: int = 0, link: Link | None = None) -> "Station":
        """A started PC with the MAC address that VPCS has with ``-m number``."""
        place = self._directory / f"pc{number}"
        place.mkdir(exist_ok=True)
        descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY)
        self._open.callback(os.close, descriptor)
        station = Station(self, number, place, descriptor, link or Link())
        self.pcs.append(station)
        station.pc.start(self.now)
        self.settle()
        return station

    def send(self, sender: object, frame: bytes) -> None:
        """Put a frame on the wire; it arrives when the wire goes on."""
        self.frames.append(frame)
        self._queue.append((sender, frame))

    def deliver(self) -> None:
        """Let all frames arrive that are on the wire, and those that are sent meanwhile."""
        while self._queue:
            sender, frame = self._queue.popleft()
            self.now += MICROSECOND
            for tap in self.taps:
                answer = tap(frame)
                if answer is not None:
                    self._queue.append((tap, answer))
            for station in self.pcs:
                if station is not sender:
                    station.pc.receive(frame, self.now)

    def settle(self, seconds: float = 60.0, until: Callable[[], object] = lambda: False) -> None:
        """Go on until nothing is waited for, `until` is true, or `seconds` have passed on the clock."""
        end = self.now + seconds
        self.deliver()
        while not until():
            waiting = [at for station in self.pcs if (at := station.pc.deadline) is not None]
            if not waiting or min(waiting) > end:
                self.now = max(self.now, end) if waiting else self.now
                return
            self.now = max(self.now, min(waiting))
            for station in self.pcs:
                if (at := station.pc.deadline) is not None and at <= self.now:
                    station.pc.tick(self.now)
            self.deliver()


class Station:
    """A PC on a wire. output: what its console printed since it was last taken."""

    def __init__(self, wire: Wire, number: int, directory: Path, descriptor: int, link: Link) -> None:
        self.wire = wire
        self.directory = directory
        self.status: int | None = None
        self._output = bytearray()
        self.pc = VirtualPC(
            OUI + bytes((number,)),
            Directory(descriptor),
            link,
            version="0",
            send=lambda frame: wire.send(self, frame),
            show=self._output.extend,
            ended=self._end,
        )

    def _end(self, status: int) -> None:
        self.status = status

    def taken(self) -> bytes:
        """What was printed since the last time."""
        output = bytes(self._output)
        self._output.clear()
        return output

    @property
    def is_at_prompt(self) -> bool:
        return self._output.endswith(f"\r\n\r{self.pc.name}> ".encode())

    def type(self, line: str | bytes, seconds: float = 300.0) -> bytes:
        """Type a line and return what is printed until the next prompt, the line's echo included."""
        self.taken()
        self.pc.typed(line.encode() + b"\r" if isinstance(line, str) else line, self.wire.now)
        self.wire.settle(seconds, until=lambda: self.is_at_prompt or self.status is not None)
        return self.taken()
