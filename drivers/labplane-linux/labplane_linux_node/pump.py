"""Carrying frames between the cards of a node and the UDP sockets of its links, and into captures."""

import json
import os
import selectors
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from labplane_linux_node import kernel, line

LONGEST = 65536
AT_ONCE = 64
HEADER = 14
PCAP_HEADER = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, LONGEST, 1)


class Card:
    """One card: its tap, its link, its capture.

    tap: gives the frames that go out, and takes those that come in.
    """

    def __init__(self, tap: int) -> None:
        self.tap = tap
        self.link: socket.socket | None = None
        self.capture: int | None = None

    def outward(self) -> None:
        """Carry what the node sends."""
        for _ in range(AT_ONCE):
            try:
                frame = self.read()
            except OSError:
                return
            if not frame:  # its program is ending
                return
            self._note(frame)
            if self.link is not None:
                self._send(self.link, frame)

    def read(self) -> bytes:
        """The next frame that goes out; b"" when none will come any more. Raises OSError when none is there yet."""
        return os.read(self.tap, LONGEST)

    def show_link(self, there: bool) -> None:
        """Let the node see whether its card is linked."""
        kernel.set_carrier(self.tap, there)

    def inward(self) -> None:
        """Carry what comes from the link."""
        for _ in range(AT_ONCE):
            if self.link is None:
                return
            try:
                frame = self.link.recv(LONGEST)
            except BlockingIOError:
                return
            except OSError:  # nobody is at the far end yet
                continue
            if len(frame) >= HEADER:
                self._note(frame)
                with suppress(OSError):  # the node has brought its card down, or takes no more just now
                    os.write(self.tap, frame)

    def _send(self, link: socket.socket, frame: bytes) -> None:
        for _ in range(2):  # a refusal is that of the frame before
            try:
                link.send(frame)
                return
            except ConnectionRefusedError:
                continue
            except OSError:
                return

    def _note(self, frame: bytes) -> None:
        if self.capture is None:
            return
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        record = struct.pack("=IIII", seconds, rest // 1000, len(frame), len(frame)) + frame
        try:
            os.write(self.capture, record)
        except OSError:  # the disk is full; a half record would spoil the file
            self.end_capture()

    def end_capture(self) -> None:
        if self.capture is not None:
            os.close(self.capture)
            self.capture = None


class Pump:
    """The cards of one node and what its driver asks for; it ends with the node's process `pid`.

    The driver is told which cards are linked, and gets their sockets. Then it sends a JSON object, and a descriptor
    where it needs one; each is answered by one. A driver that connects later takes the place of the one before.
    """

    def __init__(self, listener: socket.socket, control: socket.socket, cards: list[Card], pid: int) -> None:
        self._listener = listener
        self._control = control
        self._cards = cards
        self._selector = selectors.DefaultSelector()
        self._node = os.pidfd_open(pid)
        for card in self._cards:
            self._selector.register(card.tap, selectors.EVENT_READ, card.outward)
        self._selector.register(listener, selectors.EVENT_READ, self._take_over)
        self._selector.register(self._node, selectors.EVENT_READ, None)
        self._welcome()

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._node:
                    return
                key.data()

    def _take_over(self) -> None:
        control = line.accept(self._listener)
        if control is not None:
            self._hang_up()
            self._control = control
            for card in self._cards:
                card.end_capture()  # of which the server knows no more
            self._welcome()

    def _welcome(self) -> None:
        self._control.setblocking(False)
        plugged = {number: card.link for number, card in enumerate(self._cards) if card.link is not None}
        said = json.dumps({"ready": True, "plugged": list(plugged)}).encode()
        with suppress(OSError):
            socket.send_fds(self._control, [said], [link.fileno() for link in plugged.values()])
        self._selector.register(self._control, selectors.EVENT_READ, self._obey)

    def _hang_up(self) -> None:
        if self._control.fileno() >= 0:
            self._selector.unregister(self._control)
            self._control.close()

    def _obey(self) -> None:
        try:
            text, descriptors, _, _ = socket.recv_fds(self._control, LONGEST, 1)
        except BlockingIOError:  # what was there came by the line before
            return
        except OSError:
            text, descriptors = b"", []
        if not text:  # the server is gone; the node goes on
            self._hang_up()
            return
        asked = json.loads(text)
        try:
            self._do(asked["do"], self._cards[asked["adapter"]], descriptors)
        except OSError as error:
            answer: dict[str, Any] = {"error": os.strerror(error.errno or 0)}
        else:
            answer = {"ready": True}
        with suppress(OSError):
            self._control.send(json.dumps(answer).encode())

    def _do(self, what: str, card: Card, descriptors: list[int]) -> None:
        if what in ("plug", "unplug") and card.link is not None:
            self._selector.unregister(card.link)
            card.link.close()
            card.link = None
        if what == "plug":
            card.link = socket.socket(fileno=descriptors[0])
            card.link.setblocking(False)
            self._selector.register(card.link, selectors.EVENT_READ, card.inward)
        if what in ("plug", "unplug"):
            card.show_link(what == "plug")
        if what in ("capture", "end_capture"):
            card.end_capture()
        if what == "capture":
            os.write(descriptors[0], PCAP_HEADER)
            card.capture = descriptors[0]
