"""B-30: what a viewer types reaches the PC; no key holds it up, ends it or is kept from it, at either door."""

import os
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from websockets.sync.client import connect

from machines import linked, show, start
from support import DEADLINE, Server, Viewer, until

PROMPT = b"VPCS> "

KEYS = {
    "Ctrl+S": b"\x13",
    "Ctrl+Q": b"\x11",
    "Ctrl+backslash": b"\x1c",
    "Ctrl+Z": b"\x1a",
    "Ctrl+D": b"\x04",
    "Ctrl+V": b"\x16",
    "Ctrl+O": b"\x0f",
    "Ctrl+Y": b"\x19",
}

Door = Callable[[Server, str], "AbstractContextManager[Typist]"]


class Typist:
    """Somebody at a console: `type` sends keys, `until` reads."""

    def __init__(self, send: Callable[[bytes], None], receive: Callable[[], bytes]) -> None:
        self.type = send
        self._receive = receive
        self._seen = b""

    def until(self, words: bytes) -> bytes:
        while words not in self._seen:
            self._seen += self._receive()
        found, _, self._seen = self._seen.partition(words)
        return found + words


@contextmanager
def telnet(server: Server, vm: str) -> Iterator[Typist]:
    with Viewer(show(server, vm)["console"]) as viewer:
        yield Typist(viewer.socket.sendall, lambda: _some(viewer))


def _some(viewer: Viewer) -> bytes:
    viewer.socket.settimeout(DEADLINE)
    data = viewer.socket.recv(65536)
    assert data, "the console was closed"
    return data


@contextmanager
def websocket(server: Server, vm: str) -> Iterator[Typist]:
    url = f"ws://127.0.0.1:{server.port}{vm}/console"
    with connect(url, open_timeout=DEADLINE, close_timeout=1, proxy=None) as viewer:

        def some() -> bytes:
            frame = viewer.recv(timeout=DEADLINE)
            assert isinstance(frame, bytes)
            return frame

        yield Typist(viewer.send, some)


def takes_keys(pid: int) -> bool:
    """Whether VPCS takes single keys: after its prompt it sets its terminal to that, and drops all that came before."""
    terminal = os.open(f"/proc/{pid}/fd/0", os.O_RDONLY | os.O_NOCTTY)
    try:
        return not termios.tcgetattr(terminal)[3] & termios.ICANON
    finally:
        os.close(terminal)


doors = pytest.mark.parametrize("door", [telnet, websocket])


@doors
def test_no_key_typed_at_the_prompt_keeps_anybody_from_seeing_what_follows(
    door: Door, server: Server, project: str
) -> None:
    vm = linked(server, project)
    pid = start(server, vm)
    with door(server, vm) as typist:
        typist.until(PROMPT)
        for name, key in KEYS.items():
            until(lambda: takes_keys(pid), "VPCS to take keys")
            typist.type(key)
            typist.type(b"\x03")  # some keys edit the line; this gives it up
            typist.until(PROMPT)
            typist.type(b"echo after " + name.encode() + b"\r")
            typist.until(b"\nafter " + name.encode())
            typist.until(PROMPT)
            with door(server, vm) as newcomer:
                newcomer.until(b"\nafter " + name.encode())
    assert show(server, vm)["status"] == "started"


@doors
def test_no_key_typed_while_it_pings_ends_or_stops_it(door: Door, server: Server, project: str) -> None:
    """Until a command is through VPCS leaves the terminal in the modes in which it found it."""
    one, two = server.linked_pair(project)
    pids = {start(server, one), start(server, two)}
    with door(server, one) as typist, door(server, two) as other:
        for pc, address in ((other, b"2"), (typist, b"1")):
            pc.until(PROMPT)
            pc.type(b"ip 10.0.0." + address + b"\r")
            pc.until(PROMPT)
        for name, key in KEYS.items():
            typist.type(b"ping 10.0.0.2 -t\r")
            typist.until(b"icmp_seq=1")
            typist.type(key)
            typist.until(b"icmp_seq=2")
            typist.type(b"\x03")
            typist.until(PROMPT)
            typist.type(b"echo after " + name.encode() + b"\r")
            typist.until(b"\nafter " + name.encode())
            typist.until(PROMPT)
    assert set(server.children()) == pids
    assert show(server, one)["status"] == "started"


@doors
@pytest.mark.parametrize("pieces", [(b"\r", b"\n"), (b"\r", b"\0"), (b"\r\n",), (b"\r",), (b"\n",)], ids=repr)
def test_an_enter_is_one_in_whatever_pieces_it_comes(
    pieces: tuple[bytes, ...], door: Door, server: Server, project: str
) -> None:
    vm = linked(server, project)
    start(server, vm)
    with door(server, vm) as typist:
        typist.until(PROMPT)
        typist.type(b"echo one")
        typist.until(b"one")  # the echo of the keys: what follows comes in pieces of its own
        for piece in pieces:
            typist.type(piece)
        typist.until(PROMPT)
        typist.type(b"echo two\r")
        assert typist.until(b"\ntwo").count(PROMPT) == 0, "no empty line in between"
