"""The near end of a UDP link in the server itself: whose it is, whom it hears, what it shares."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from host import taken
from inprocess import settings
from labplane import VM, BadRequest, Conflict, Driver, Plugin, hook, open_udp
from labplane.kernel import Kernel
from labplane.machines.kind import Kind
from labplane.machines.udp_ends import hand_over
from labplane.plugins.loading import Candidate
from labplane.reports import Report
from support import port_is_free


class Still(Driver):
    kind = "still"

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


@pytest.fixture
def vm(tmp_path: Path) -> VM:
    class Place(Plugin):
        @hook
        def project_dir(self, project_id: str) -> Path:
            return tmp_path

    lab = Kernel(settings(tmp_path), [Candidate("place", lambda: Place, "testing", "1")])
    report = Report("place", "active", "testing", "1", "labplane.v1")
    return VM(lab, Kind(Still(lab), report, lab.supervisor), str(uuid4()), str(uuid4()), "S")


def nio(lport: int, rport: int, rhost: str = "127.0.0.1") -> dict[str, Any]:
    return {"type": "nio_udp", "lport": lport, "rhost": rhost, "rport": rport}


def far_end() -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.bind(("127.0.0.1", 0))
    end.settimeout(60)
    return end


def free_port() -> int:
    with far_end() as end:
        return int(end.getsockname()[1])


def test_frames_go_both_ways_and_nobody_else_is_heard(vm: VM) -> None:
    async def play() -> None:
        lport = free_port()
        with far_end() as peer, far_end() as stranger, await open_udp(vm, nio(lport, peer.getsockname()[1])) as end:
            assert end.getsockname() == ("127.0.0.1", lport)
            end.send(b"there")
            assert peer.recvfrom(100) == (b"there", ("127.0.0.1", lport))
            stranger.sendto(b"forged", ("127.0.0.1", lport))
            peer.sendto(b"back", ("127.0.0.1", lport))
            assert await asyncio.get_running_loop().sock_recv(end, 100) == b"back"
            with pytest.raises(BlockingIOError):
                end.recv(100)

    asyncio.run(play())


def test_what_came_before_the_far_end_was_known_is_not_read(vm: VM, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's datagram between bind and connect: made certain by sending it right after the bind."""
    lport = free_port()
    bind = vm.lab.udp.bind

    with far_end() as peer, far_end() as stranger:

        def bind_and_be_sent_something(end: socket.socket, host: str, number: int) -> bool:
            bound = bind(end, host, number)
            stranger.sendto(b"forged", ("127.0.0.1", lport))
            return bound

        monkeypatch.setattr(vm.lab.udp, "bind", bind_and_be_sent_something)

        async def play() -> None:
            with await open_udp(vm, nio(lport, peer.getsockname()[1])) as end, pytest.raises(BlockingIOError):
                end.recv(100)

        asyncio.run(play())


def refused(vm: VM, *arguments: Any, error: type[Exception] = Conflict, **keywords: Any) -> str:
    with pytest.raises(error) as refusal:
        asyncio.run(open_udp(vm, *arguments, **keywords))
    return str(refusal.value)


def test_a_port_that_a_stranger_has_is_a_conflict_even_when_he_would_share(vm: VM) -> None:
    """U-3."""
    with far_end() as stranger:
        lport = stranger.getsockname()[1]
        assert f"The UDP port {lport} of still 'S'" in refused(vm, nio(lport, 9))
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        assert "in use by another program" in refused(vm, nio(lport, 9))


def test_a_port_that_a_child_of_the_server_has_for_a_moment_is_waited_for(vm: VM) -> None:
    """A child that has not executed its program yet has copies of the sockets that held ports."""

    async def play() -> None:
        lport = vm.lab.udp.lease(vm)
        vm.nios[0, 0] = nio(lport, 9)
        copy = vm.lab.udp._placeholders[lport].dup()
        asyncio.get_running_loop().call_later(0.02, copy.close)
        await hand_over(vm)
        assert copy.fileno() == -1
        with far_end() as other:
            busy = other.getsockname()[1]
            asyncio.get_running_loop().call_later(0.02, other.close)
            with await open_udp(vm, nio(busy, 9)) as end:
                assert end.getsockname()[1] == busy

    asyncio.run(play())


def test_a_far_end_that_is_no_host_opens_nothing(vm: VM) -> None:
    """N-4."""
    lport = free_port()
    assert "rhost" in refused(vm, nio(lport, 9, "256.1.1.1"), error=BadRequest)
    assert port_is_free(lport, socket.SOCK_DGRAM)


def test_a_far_end_to_which_there_is_no_way_is_a_conflict_and_leaves_the_port_free(vm: VM) -> None:
    """127.255.255.255 is the loopback's broadcast address, to which plain sockets may not send."""
    lport = free_port()
    message = refused(vm, nio(lport, 9, "127.255.255.255"))
    assert "cannot be linked to 127.255.255.255:9: Permission denied" in message
    assert port_is_free(lport, socket.SOCK_DGRAM)


def with_one_that_is_replaced(vm: VM, play: Callable[[socket.socket, int], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        lport = free_port()
        with far_end() as peer, await open_udp(vm, nio(lport, peer.getsockname()[1])) as old:
            await play(old, lport)
            old.send(b"still here")
            assert peer.recv(100) == b"still here"
            peer.sendto(b"and heard", ("127.0.0.1", lport))
            assert await asyncio.get_running_loop().sock_recv(old, 100) == b"and heard"

    asyncio.run(run())


def test_the_same_port_can_get_another_far_end_before_the_old_socket_is_closed(vm: VM) -> None:
    async def play(old: socket.socket, lport: int) -> None:
        with far_end() as other, await open_udp(vm, nio(lport, other.getsockname()[1]), instead_of=old) as new:
            other.sendto(b"for the new one", ("127.0.0.1", lport))
            assert await asyncio.get_running_loop().sock_recv(new, 100) == b"for the new one"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with pytest.raises(OSError, match="in use"):
                    stranger.bind(("127.0.0.1", lport))

    with_one_that_is_replaced(vm, play)


def test_a_replacement_that_fails_leaves_the_old_socket_as_it_was(vm: VM) -> None:
    async def play(old: socket.socket, lport: int) -> None:
        with pytest.raises(Conflict):
            await open_udp(vm, nio(lport, 9, "127.255.255.255"), instead_of=old)
        taken_port = free_port()
        with taken(taken_port, socket.SOCK_DGRAM), pytest.raises(Conflict):
            await open_udp(vm, nio(taken_port, 9), instead_of=old)
        assert not old.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)

    with_one_that_is_replaced(vm, play)


def test_a_guard_gives_way_to_a_socket_of_the_server_itself(vm: VM) -> None:
    """Q-5: the guard is there against the relay of a VPCS, which the socket keeps out just as well."""
    lport = free_port()

    async def play() -> None:
        vm.lab.udp.guard(lport)
        with await open_udp(vm, nio(lport, 9)) as end:
            assert end.getsockname()[1] == lport
        assert port_is_free(lport, socket.SOCK_DGRAM)

    asyncio.run(play())
