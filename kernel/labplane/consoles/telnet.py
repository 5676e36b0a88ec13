"""A console's viewer over telnet or bare TCP. telnetlib3 knows the protocol, this file what a console makes of it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from telnetlib3.server_base import BaseServer
from telnetlib3.stream_reader import TelnetReader
from telnetlib3.stream_writer import TelnetWriter
from telnetlib3.telopt import BRK, DO, EC, ECHO, IP, SGA, WILL

from labplane.consoles.console import Console
from labplane.consoles.keyboard import Keyboard
from labplane.consoles.sockets import keep_alive

BACKLOG = 256 * 1024
FAREWELL = 0.5
LINGER = 10.0
SLICE = 1024
SUBNEGOTIATION = 64
KEYS = {IP: b"\x03", BRK: b"\x03", EC: b"\x7f"}
REFUSED_THERE = {bytes([option]) for option in range(256)} - {SGA}
REFUSED_HERE = REFUSED_THERE - {ECHO}

# What the library warns about is up to whoever connects, and so would be the size of the log.
logging.getLogger("telnetlib3").setLevel(logging.ERROR)


class Telnet(BaseServer):
    """One connection, telnet or bare TCP, to a console.

    It is dropped when `BACKLOG` bytes wait for it to read. A client that will send no more (`nc -q 5`) is hung up after
    `LINGER` seconds without output, one that was hung up and keeps its end open is cut off after `FAREWELL` seconds.
    """

    def __init__(self, console: Console, keepalive: int = 60) -> None:
        super().__init__(encoding=False, writer_factory=Negotiator)
        self._console = console
        self._keepalive = keepalive
        self._done_typing = False
        self._leaving = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._line = cast(asyncio.Transport, transport)
        self._line.set_write_buffer_limits(high=BACKLOG)
        keep_alive(transport.get_extra_info("socket"), self._keepalive)
        keyboard = Keyboard(partial(self._console.typed, self))
        self.reader = KeyReader(keyboard)
        self._negotiator = cast(Negotiator, self.writer)
        for command, key in KEYS.items():
            self._negotiator.set_iac_callback(command, partial(_press, keyboard, key))
        self._negotiator.offer()
        self._console.attach(self)

    def send(self, data: bytes) -> None:
        if self._leaving:
            return
        self._negotiator.write(data)
        if self._done_typing:
            self._after(LINGER, self.hang_up)

    def hang_up(self) -> None:
        if self._leaving or self._line.is_closing():
            return
        self._leaving = True
        self._after(FAREWELL, self._line.abort)
        if self._done_typing:
            self._line.close()
        else:
            # The client's answer is awaited: closing on unread keystrokes would reset what it has yet to read.
            self._line.write_eof()

    def data_received(self, data: bytes) -> None:
        if self._line.is_closing():
            return
        rest = b""
        if not self._leaving:
            super().data_received(data[:SLICE])
            rest = data[SLICE:]
        if rest:
            # The library goes through commands byte by byte: a flood of them must not keep the loop from the others.
            self._line.pause_reading()
            asyncio.get_running_loop().call_soon(self.data_received, rest)
        else:
            self._line.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature, which the library narrows
        self._done_typing = True
        if not self._leaving:
            self._after(LINGER, self.hang_up)
        return not self._leaving

    def pause_writing(self) -> None:
        super().pause_writing()
        self._line.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()
        self._console.detach(self)

    def begin_negotiation(self) -> None:
        """Nothing is left to begin: all was offered before the first output."""

    def check_negotiation(self, final: bool = False) -> bool:
        """Nothing waits for the client's answers."""
        return True

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, action)


class KeyReader(TelnetReader):
    """The library's stream of a client's bytes without telnet, passed on to a keyboard at once."""

    def __init__(self, keyboard: Keyboard) -> None:
        super().__init__()
        self._keyboard = keyboard

    def feed_data(self, data: bytes) -> None:
        self._keyboard.feed(data)


class Negotiator(TelnetWriter):
    """Telnet as an emulator's console needs it: characters at a time, echoed by the emulator, and nothing else."""

    slc_simulated = False

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.always_wont = REFUSED_HERE
        self.always_dont = REFUSED_THERE
        self._sb_buffer = deque(maxlen=SUBNEGOTIATION)

    def offer(self) -> None:
        self.iac(WILL, ECHO)
        self.iac(WILL, SGA)
        self.iac(DO, SGA)

    def handle_ayt(self, _byte: bytes) -> None:
        self.write(b"\r\n[yes]\r\n")

    def handle_subnegotiation(self, buf: deque[bytes]) -> None:
        """Skipped: no option that has one was agreed to."""


def _press(keyboard: Keyboard, key: bytes, _command: bytes) -> None:
    keyboard.feed(key)
