"""Carrying frames between the cards of a node and the UDP sockets of its links, and into captures."""

import json
import os
import selectors
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from labplane_linux_node import kernel

LONGEST = 65536
AT_ONCE = 64
HEADER = 14
PCAP_HEADER = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, LONGEST, 1)


class Card:
    """One card: its tap, its link, its capture."""

    def __init__(self, tap: int) -> None:
        self.tap = tap
        self.link: socket.socket | None = None
        self.capture: int | None = None

    def outward(self) -> None:
        """Carry what the node sends."""
        for _ in range(AT_ONCE):
            try:
                frame = os.read(self.tap, LONGEST)
            except (BlockingIOError, OSError):
                return
            self._note(frame)
            if self.link is not None:
                self._send(self.link, frame)

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
                with suppress(OSError):  # the node has brought its card down
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
            os.close(self.capture)
            self.capture = None


class Pump:
    """The cards of one node and what its driver asks for; it ends with the node's process `pid`.

    The driver sends a JSON object, and a descriptor where it needs one; each is answered by one.
    """

    def __init__(self, control: socket.socket, taps: list[int], pid: int) -> None:
        self._control = control
        self._cards = [Card(tap) for tap in taps]
        self._selector = selectors.DefaultSelector()
        self._node = os.pidfd_open(pid)
        for card in self._cards:
            self._selector.register(card.tap, selectors.EVENT_READ, card.outward)
        self._selector.register(control, selectors.EVENT_READ, self._obey)
        self._selector.register(self._node, selectors.EVENT_READ, None)

    def run(self) -> int:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._node:
                    return 0
                key.data()

    def _obey(self) -> None:
        try:
            text, descriptors, _, _ = socket.recv_fds(self._control, LONGEST, 1)
        except OSError:
            text, descriptors = b"", []
        if not text:  # the server is gone; the node goes on
            self._selector.unregister(self._control)
            return
        asked = json.loads(text)
        try:
            self._do(asked["do"], self._cards[asked["adapter"]], descriptors)
        except OSError as error:
            answer: dict[str, Any] = {"error": os.strerror(error.errno or 0)}
        else:
            answer = {"ready": True}
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
            kernel.set_carrier(card.tap, what == "plug")
        if what in ("capture", "end_capture") and card.capture is not None:
            os.close(card.capture)
            card.capture = None
        if what == "capture":
            os.write(descriptors[0], PCAP_HEADER)
            card.capture = descriptors[0]
