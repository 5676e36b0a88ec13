"""Echoes between two built-in PCs as fast as they go, or a storm of frames for one: ``python -m bench.flood …``.

echo SECONDS:               prints the frames per second that go between two PCs of one engine, requests and replies.
storm LPORT RPORT SECONDS:  sends 100,000 echo requests a second to the UDP port RPORT, prints how many it came to.
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import TypeVar

import uvloop

from labplane_engine.ends import Ends
from labplane_engine.world import World
from labplane_pc import icmp, ipv4
from labplane_pc.ethernet import IPV4
from labplane_pc.machine import Machine

MACS = bytes.fromhex("005079666800"), bytes.fromhex("005079666801")
ADDRESSES = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
IN_FLIGHT = 32
WANTED = 100_000
BATCH = 100
DATA = bytes(56)
PC = TypeVar("PC", bound=Machine)


def request(number: int) -> bytes:
    """The frame with the echo request of that number, from the first PC to the second one."""
    body = icmp.build(icmp.ECHO, 0, 7, number & 0xFFFF, DATA)
    return MACS[1] + MACS[0] + IPV4 + ipv4.build(*ADDRESSES, icmp.PROTOCOL, body, ttl=64, ident=number & 0xFFFF)


class Flooding(Machine):
    """A PC that, for each frame that it has taken in, sends one more request. heard: how many it took in."""

    heard = 0

    def flood(self) -> None:
        """Send the first requests."""
        for _ in range(IN_FLIGHT):
            self._request()

    def _received(self, frame: bytes) -> None:
        super()._received(frame)
        self.heard += 1
        self._request()

    def _request(self) -> None:
        four = self._pc.host.four
        body = icmp.build(icmp.ECHO, 0, 7, self.heard & 0xFFFF, DATA)
        four.send(MACS[1], ADDRESSES[1], icmp.PROTOCOL, body)


async def echo(seconds: float) -> None:
    """Two PCs, linked as the engine links them."""
    ends = Ends(asyncio.get_running_loop())
    with ExitStack() as stack:
        one, other = (stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
        for end in (one, other):
            end.bind(("127.0.0.1", 0))
        one.connect(other.getsockname())
        other.connect(one.getsockname())
        flooding = _pc(stack, ends, Flooding, 0, one.detach())
        _pc(stack, ends, Machine, 1, other.detach())
        await asyncio.sleep(2)  # until they have their addresses, and no other has them
        flooding.flood()
        began, before = time.perf_counter(), flooding.heard
        await asyncio.sleep(seconds)
        print(2 * (flooding.heard - before) / (time.perf_counter() - began), flush=True)


def _pc(stack: ExitStack, ends: Ends, kind: type[PC], number: int, end: int) -> PC:
    place = stack.enter_context(tempfile.TemporaryDirectory())
    world = World(ends, lambda _: None, lambda _: None, lambda error: sys.exit(repr(error)))
    stack.callback(world.close)
    settings = {"mac": MACS[number].hex(), "version": "", "link": {}}
    machine = kind(world, settings, [os.open(place, os.O_PATH | os.O_DIRECTORY), end])
    stack.callback(machine.close)
    machine.typed(b"ip 10.0.0.%d/24\r" % (number + 1))
    return machine


def storm(lport: int, rport: int, seconds: float) -> None:
    """As many requests as the time asks for, those that were due meanwhile at once."""
    frames = [request(number) for number in range(BATCH)]
    with socket.socket(type=socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", lport))
        end.connect(("127.0.0.1", rport))
        began, sent = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < seconds:
            if sent >= took * WANTED:
                time.sleep(BATCH / WANTED)
            for frame in frames:
                end.send(frame)
            sent += BATCH
    print(sent / took, flush=True)


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    if what == "echo":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(echo(float(numbers[0])))
    else:
        storm(int(numbers[0]), int(numbers[1]), float(numbers[2]))
