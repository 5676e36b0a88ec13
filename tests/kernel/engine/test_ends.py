"""Ends of links: the same frames come through a socket and straight from an end of the same engine."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from labplane_engine.ends import MOST_WAITING, End, Ends

PATIENCE = 60.0


def pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets, connected to each other."""
    one, other = (stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
    for end in (one, other):
        end.bind(("127.0.0.1", 0))
    one.connect(other.getsockname())
    other.connect(one.getsockname())
    return one, other


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def end_of(ends: Ends, sock: socket.socket, received: Callable[[bytes], None], failed: list[Exception]) -> End:
    return End(ends, sock.detach(), received, failed.append)


def play(scene: Callable[[], "asyncio.Future[None]"]) -> None:
    async def played() -> None:
        await asyncio.wait_for(scene(), PATIENCE)

    asyncio.run(played())


@pytest.mark.parametrize("is_one_engine", [True, False], ids=["in one engine", "through sockets"])
def test_frames_come_in_order_and_whole_and_are_answered(stack: ExitStack, is_one_engine: bool) -> None:
    frames = [bytes([number]) * (number * 5 + 1) for number in range(100)]
    there: list[bytes] = []
    back: list[bytes] = []

    async def scene() -> None:
        first = Ends(asyncio.get_running_loop())
        second = first if is_one_engine else Ends(asyncio.get_running_loop())
        near, far = pair(stack)
        all_are_back = asyncio.Event()

        def answered(frame: bytes) -> None:
            back.append(frame)
            if len(back) == len(frames):
                all_are_back.set()

        def heard(frame: bytes) -> None:
            there.append(frame)
            other.send(frame[::-1])

        failed: list[Exception] = []
        one, other = end_of(first, near, answered, failed), end_of(second, far, heard, failed)
        for frame in frames:
            one.send(frame)
        await all_are_back.wait()
        assert (one.far is other) == is_one_engine
        one.close()
        other.close()
        other.close()
        assert failed == []

    play(lambda: asyncio.ensure_future(scene()))
    assert there == frames
    assert back == [frame[::-1] for frame in frames]


def test_two_that_never_stop_leave_their_turn_to_timers_and_sockets_and_wait_within_bounds(stack: ExitStack) -> None:
    async def scene() -> None:
        ends = Ends(asyncio.get_running_loop())
        (near, far), (here, outside) = pair(stack), pair(stack)
        failed: list[Exception] = []
        one = end_of(ends, near, lambda frame: one.send(frame), failed)
        other = end_of(ends, far, lambda frame: other.send(frame), failed)
        echo = end_of(ends, here, lambda frame: echo.send(frame), failed)
        for _ in range(10 * MOST_WAITING):
            one.send(b"round and round")
        assert other.waiting == MOST_WAITING
        outside.setblocking(False)
        loop = asyncio.get_running_loop()
        for _ in range(20):
            await loop.sock_sendall(outside, b"hello")
            assert await loop.sock_recv(outside, 100) == b"hello"
            await asyncio.sleep(0.001)
        assert one.waiting + other.waiting == MOST_WAITING, "they still go round"
        for end in (one, other, echo):
            end.close()
        assert failed == []

    play(lambda: asyncio.ensure_future(scene()))


def test_an_end_whose_far_end_is_gone_sends_into_the_void_and_hears_the_next_one_that_comes(stack: ExitStack) -> None:
    async def scene() -> None:
        ends = Ends(asyncio.get_running_loop())
        near, far = pair(stack)
        ports = near.getsockname(), far.getsockname()
        heard: list[bytes] = []
        failed: list[Exception] = []
        came = asyncio.Event()

        def received(frame: bytes) -> None:
            heard.append(frame)
            came.set()

        one, gone = end_of(ends, near, received, failed), end_of(ends, far, heard.append, failed)
        one.send(b"never taken")
        gone.close()
        for _ in range(3):
            one.send(b"nobody is there")
        assert one.far is None
        again = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        again.bind(ports[1])
        again.connect(ports[0])
        back = end_of(ends, again, heard.append, failed)
        assert one.far is back
        back.send(b"hello")
        await came.wait()
        assert heard == [b"hello"]
        one.close()
        back.close()
        assert failed == []

    play(lambda: asyncio.ensure_future(scene()))


def test_what_a_machine_raises_is_told_and_the_next_frame_comes_all_the_same(stack: ExitStack) -> None:
    async def scene() -> None:
        ends = Ends(asyncio.get_running_loop())
        near, far = pair(stack)
        failed: list[Exception] = []
        over = asyncio.Event()

        def received(frame: bytes) -> None:
            if frame == b"last":
                over.set()
            raise ValueError(frame)

        one, other = end_of(ends, near, received, failed), end_of(ends, far, received, failed)
        for frame in (b"first", b"last"):
            other.send(frame)
        await over.wait()
        one.close()
        other.close()
        assert [str(error) for error in failed] == ["b'first'", "b'last'"]

    play(lambda: asyncio.ensure_future(scene()))


def test_a_descriptor_that_is_no_udp_socket_is_read_and_written_a_frame_at_a_time(stack: ExitStack) -> None:
    """As a tap device is."""

    async def scene() -> None:
        ends = Ends(asyncio.get_running_loop())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.callback(ours.close)
        failed: list[Exception] = []
        end = end_of(ends, theirs, lambda frame: end.send(frame + frame), failed)
        loop = asyncio.get_running_loop()
        ours.setblocking(False)
        await loop.sock_sendall(ours, b"ab")
        assert await loop.sock_recv(ours, 100) == b"abab"
        end.close()
        assert await loop.sock_recv(ours, 100) == b""
        assert failed == []

    play(lambda: asyncio.ensure_future(scene()))


def test_a_machine_at_work_gets_no_frame_and_the_answer_waits_for_no_other_turn(stack: ExitStack) -> None:
    heard: list[str] = []

    async def scene() -> None:
        ends = Ends(asyncio.get_running_loop())
        near, far = pair(stack)
        one = end_of(ends, near, lambda frame: heard.append(f"answer {frame!r}"), [])
        other = end_of(ends, far, lambda frame: other.send(frame + b"!"), [])
        with ends:
            one.send(b"a")
            with ends:
                one.send(b"b")
            heard.append("done")
        assert heard == ["done", "answer b'a!'", "answer b'b!'"]
        one.close()
        other.close()

    play(lambda: asyncio.ensure_future(scene()))
