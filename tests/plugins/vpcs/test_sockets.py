"""What /proc tells about a process (S-3)."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labplane_vpcs import sockets
from labplane_vpcs.sockets import has_udp_port, open_files, thread_states
from support import port_is_free, until

CAN_ASK = sockets._can_ask


@pytest.fixture(params=["asked", "read"], autouse=True)
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with netlink and once without, as where the kernel does not have it."""
    if request.param == "read":
        monkeypatch.setattr(sockets, "_can_ask", lambda: False)
    else:
        assert sockets._can_ask(), "this kernel has no udp_diag"


@pytest.mark.parametrize("number", [1, 9, 33333, 65535])
def test_a_port_that_no_socket_has_is_nobodys(number: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
        assert port_is_free(number, socket.SOCK_DGRAM)
        assert not has_udp_port(os.getpid(), number)


def test_a_kernel_that_answers_nothing_of_the_kind_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int | None:
        raise OSError(93, "Protocol not supported")

    for answer in (refused, lambda _: None):
        monkeypatch.setattr(sockets, "_inode", answer)
        assert not CAN_ASK.__wrapped__()


def test_a_bound_port_is_seen_with_its_owner_and_with_nobody_else() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("0.0.0.0", 0))
        number = one.getsockname()[1]
        assert has_udp_port(os.getpid(), number)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
            assert not has_udp_port(other.pid, number)
            other.communicate(b"\n")
    assert not has_udp_port(os.getpid(), number)


def test_a_tcp_port_of_that_number_does_not_count() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not has_udp_port(os.getpid(), listener.getsockname()[1])


def test_open_files_are_named() -> None:
    with Path(os.devnull).open():
        assert os.devnull in open_files(os.getpid())


def test_a_thread_that_waits_sleeps() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    before = len(thread_states(os.getpid(), 0))
    thread.start()
    try:
        until(lambda: thread_states(os.getpid(), before) == ["S"], "the newest thread to sleep")
    finally:
        go.set()
        thread.join()


def test_a_process_that_has_ended_is_an_error() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(OSError, match="No such file"):
        open_files(ended.pid)
    with pytest.raises(OSError, match="No such file"):
        thread_states(ended.pid, 0)
