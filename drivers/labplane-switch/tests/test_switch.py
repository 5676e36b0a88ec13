"""A switch at work on real sockets, under both event loops."""

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from labplane_switch.switch import Counters, Port, Switch

A, B, C = (bytes.fromhex(f"0050796668{number:02x}") for number in range(3))
BROADCAST = b"\xff" * 6
TYPE = b"\x08\x00"

Play = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Play], None]:
    def run(play: Play) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(play())

    return run


def wire() -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets that are connected to each other."""
    ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for end in ends:
        end.setblocking(False)
        end.bind(("127.0.0.1", 0))
    ends[0].connect(ends[1].getsockname())
    ends[1].connect(ends[0].getsockname())
    return ends[0], ends[1]


class Bench:
    """A switch with `count` ports; `pcs` are the far ends."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.pcs: list[socket.socket] = []

    @classmethod
    async def of(cls, count: int) -> "Bench":
        bench = cls(Switch(300))
        for number in range(count):
            near, far = wire()
            bench.pcs.append(far)
            await bench.switch.plug(number, near)
        return bench

    async def hears(self, number: int) -> bytes:
        async with asyncio.timeout(60):
            return await asyncio.get_running_loop().sock_recv(self.pcs[number], 2000)

    def hears_nothing(self, number: int) -> bool:
        """To be asked when what was sent later has arrived elsewhere."""
        try:
            self.pcs[number].recv(2000)
        except BlockingIOError:
            return True
        return False

    async def end(self) -> None:
        await self.switch.close()
        for pc in self.pcs:
            pc.close()


def test_a_frame_is_flooded_and_its_answer_is_not(run: Callable[[Play], None]) -> None:
    async def play() -> None:
        bench = await Bench.of(3)
        question, answer = BROADCAST + A + TYPE + b"who", A + B + TYPE + b"I"
        bench.pcs[0].send(question)
        assert [await bench.hears(1), await bench.hears(2)] == [question, question]
        bench.pcs[1].send(answer)
        assert await bench.hears(0) == answer
        assert bench.hears_nothing(0)
        assert bench.hears_nothing(2)
        counters = bench.switch.counters
        assert counters[0] == Counters(1, len(question), 1, len(answer), 0)
        assert counters[1] == Counters(1, len(answer), 1, len(question), 0)
        assert counters[2] == Counters(0, 0, 1, len(question), 0)
        await bench.end()

    run(play)


def test_runts_are_dropped_and_counted(run: Callable[[Play], None]) -> None:
    async def play() -> None:
        bench = await Bench.of(2)
        for length in (0, 1, 13):
            bench.pcs[0].send(b"\xff" * length)
        bench.pcs[0].send(BROADCAST + A + TYPE)
        assert await bench.hears(1) == BROADCAST + A + TYPE
        assert bench.switch.counters[0] == Counters(1, 14, 0, 0, 3)
        assert bench.hears_nothing(1)
        await bench.end()

    run(play)


def test_frames_keep_their_order_and_their_bytes(run: Callable[[Play], None]) -> None:
    async def play() -> None:
        bench = await Bench.of(2)
        for number in range(50):
            bench.pcs[0].send(B + A + TYPE + bytes([number]) * number * 29)
        heard = [await bench.hears(1) for _ in range(50)]
        assert heard == [B + A + TYPE + bytes([number]) * number * 29 for number in range(50)]
        await bench.end()

    run(play)


def test_a_peer_that_comes_up_later_gets_the_very_next_frame(run: Callable[[Play], None]) -> None:
    """What was sent to nobody comes back as ECONNREFUSED, on the next send."""

    async def play() -> None:
        bench = await Bench.of(2)
        address, back = bench.pcs[1].getsockname(), bench.pcs[1].getpeername()
        bench.pcs[1].close()
        for number in range(20):
            bench.pcs[0].send(BROADCAST + A + TYPE + bytes([number]))
        while bench.switch.counters[0].frames_in < 20:
            await asyncio.sleep(0.001)
        bench.pcs[1] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bench.pcs[1].setblocking(False)
        bench.pcs[1].bind(address)
        bench.pcs[1].connect(back)
        bench.pcs[0].send(BROADCAST + A + TYPE + b"now")
        assert await bench.hears(1) == BROADCAST + A + TYPE + b"now"
        bench.pcs[1].send(A + B + TYPE)
        assert await bench.hears(0) == A + B + TYPE
        await bench.end()

    run(play)


def test_a_peer_that_does_not_read_costs_dropped_frames_and_no_memory() -> None:
    """Over a local socket, whose buffer fills up at the sender as that of a real network card does."""

    async def play() -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        port = Port(near, counters := Counters(), lambda _: None)
        await port.open()
        for _ in range(2000):
            port.send(b"\xff" * 1000)
        assert counters.dropped > 0
        assert counters.frames_out + counters.dropped == 2000
        far.setblocking(False)
        assert [len(far.recv(2000)) for _ in range(counters.frames_out)] == [1000] * counters.frames_out
        with pytest.raises(BlockingIOError):
            far.recv(2000)
        await port.close()
        far.close()

    asyncio.run(play())


def test_when_it_is_closed_its_ports_can_be_bound_again(run: Callable[[Play], None]) -> None:
    async def play() -> None:
        bench = await Bench.of(3)
        addresses = [pc.getpeername() for pc in bench.pcs]
        await bench.end()
        for address in addresses:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(address)
        assert bench.switch.end(0) is None

    run(play)


def test_who_was_at_a_port_is_forgotten_when_it_is_unplugged_or_plugged_anew(run: Callable[[Play], None]) -> None:
    async def play() -> None:
        bench = await Bench.of(3)
        for again in (False, True):
            bench.pcs[0].send(BROADCAST + A + TYPE)
            assert [await bench.hears(1), await bench.hears(2)] == [BROADCAST + A + TYPE] * 2
            assert bench.switch.table.find(A, 0) == 0
            near, far = wire()
            if not again:
                await bench.switch.unplug(0)
                assert bench.switch.table.find(A, 0) is None
            await bench.switch.plug(0, near)
            assert bench.switch.table.find(A, 0) is None
            bench.pcs[0].close()
            bench.pcs[0] = far
            bench.pcs[1].send(A + B + TYPE)
            assert [await bench.hears(0), await bench.hears(2)] == [A + B + TYPE] * 2
        await bench.end()

    run(play)


def test_a_socket_that_cannot_be_used_leaves_the_old_one_at_its_port() -> None:
    async def play() -> None:
        bench = await Bench.of(2)
        for number in (1, 2):
            stream = socket.socket()
            with pytest.raises(ValueError, match=r"[Dd]atagram|UDP"):
                await bench.switch.plug(number, stream)
            assert stream.fileno() == -1
        bench.pcs[0].send(BROADCAST + A + TYPE)
        assert await bench.hears(1) == BROADCAST + A + TYPE
        assert bench.switch.end(2) is None
        await bench.end()

    asyncio.run(play())


def test_a_frame_that_cannot_go_out_is_counted_where_it_was_lost() -> None:
    class Unreachable(socket.socket):
        def send(self, *_: Any) -> int:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

    async def play() -> None:
        near, far = wire()
        with far, near:
            port = Port(Unreachable(fileno=near.detach()), counters := Counters(), lambda _: None)
            await port.open()
            port.send(BROADCAST + A + TYPE)
            assert counters == Counters(dropped=1)
            await port.close()

    asyncio.run(play())
