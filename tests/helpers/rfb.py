"""A machine with a screen: it speaks RFB 3.8 (RFC 6143), and its picture changes colour with the first key."""

import socket
import struct
from collections.abc import Callable

SIDE = 64
FORMAT = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


class Painting:
    """The screen of one viewer: red until the first key is pressed, then blue.

    pressed: called with the keysym of each key.
    """

    def __init__(self, end: socket.socket, pressed: Callable[[int], None]) -> None:
        self._end = end
        self._pressed = pressed
        self._order = [2, 1, 0]  # where the viewer wants red, green and blue to be in the four bytes of a dot
        self._colour = (255, 0, 0)

    def serve(self) -> None:
        """Speak until the viewer leaves."""
        with self._end:
            try:
                self._greet()
                while True:
                    self._answer(self._read(1)[0])
            except (EOFError, ConnectionError):
                pass

    def _greet(self) -> None:
        self._end.sendall(b"RFB 003.008\n")
        self._read(12)
        self._end.sendall(b"\x01\x01")  # one kind of security: none
        self._read(1)
        self._end.sendall(bytes(4))
        self._read(1)
        name = b"Painting"
        self._end.sendall(struct.pack(">HH", SIDE, SIDE) + FORMAT + struct.pack(">I", len(name)) + name)

    def _answer(self, message: int) -> None:
        match message:
            case 0:  # SetPixelFormat
                shifts = self._read(19)[13:16]
                self._order = [shift // 8 for shift in shifts]
            case 2:  # SetEncodings
                self._read(4 * struct.unpack(">xH", self._read(3))[0])
            case 3:  # FramebufferUpdateRequest
                incremental = self._read(9)[0]
                if not incremental:
                    self._paint()
            case 4:  # KeyEvent
                down, key = struct.unpack(">BxxI", self._read(7))
                if down:
                    self._pressed(key)
                    self._colour = (0, 0, 255)
                    self._paint()
            case 5:  # PointerEvent
                self._read(5)
            case 6:  # ClientCutText
                self._read(struct.unpack(">xxxI", self._read(7))[0])
            case other:
                raise EOFError(f"message {other}")

    def _paint(self) -> None:
        dot = bytearray(4)
        for place, value in zip(self._order, self._colour, strict=True):
            dot[place] = value
        self._end.sendall(struct.pack(">BxHHHHHi", 0, 1, 0, 0, SIDE, SIDE, 0) + bytes(dot) * (SIDE * SIDE))

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self._end.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data
