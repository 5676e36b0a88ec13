"""The line editor of the console: keys in, lines and echo out, with the keys and the history of VPCS."""

from collections.abc import Callable
from enum import Enum, auto

LONGEST_LINE = 127
MOST_HISTORY = 50
CTRL_C = 3
BACKSPACES = (8, 127)
ENTERS = (10, 13)
ESCAPE = 27
ARROWS = {ord("A"): "up", ord("B"): "down", ord("C"): "right", ord("D"): "left"}
LONG_KEYS = {b"1~": "home", b"4~": "end"}


class Typed(Enum):
    """What the editor came to after a key."""

    LINE = auto()
    CANCELLED = auto()


class Editor:
    """One line being typed. show: prints bytes as they are. history: the lines typed before, the latest last."""

    __slots__ = ("_at", "_cursor", "_escape", "_line", "_pattern", "_show", "history")

    def __init__(self, show: Callable[[bytes], None]) -> None:
        self._show = show
        self.history: list[bytes] = []
        self._line = bytearray()
        self._cursor = 0
        self._escape = b""
        self._at: int | None = None
        self._pattern = b""

    def take(self) -> bytes:
        """The line that was typed, without spaces around it; a new one begins, and the history has it."""
        line = bytes(self._line).strip(b" ")
        self._reset()
        if line:
            self.history.append(line)
            del self.history[:-MOST_HISTORY]
        return line

    def key(self, byte: int) -> Typed | None:
        """Take one byte of what is typed."""
        if self._escape:
            self._go_on_escape(byte)
            return None
        if byte == ESCAPE:
            self._escape = b"\x1b"
            return None
        self._at = None
        if byte in ENTERS:
            return Typed.LINE
        if byte == CTRL_C:
            self._reset()
            return Typed.CANCELLED
        if byte in BACKSPACES:
            self._erase()
        elif 32 <= byte < 127:
            self._insert(byte)
        return None

    def _reset(self) -> None:
        self._line.clear()
        self._cursor = 0
        self._escape = b""
        self._at = None

    def _go_on_escape(self, byte: int) -> None:
        self._escape += bytes((byte,))
        sequence = self._escape[1:]
        if sequence in (b"[", b"[1", b"[4"):
            return
        self._escape = b""
        name = ARROWS.get(byte) if sequence[:1] == b"[" and len(sequence) == 2 else LONG_KEYS.get(sequence[1:])
        if name is not None:
            getattr(self, f"_{name}")()
        elif sequence[:1] != b"[":
            self.key(byte)

    def _insert(self, byte: int) -> None:
        if len(self._line) >= LONGEST_LINE:
            return
        self._line.insert(self._cursor, byte)
        rest = bytes(self._line[self._cursor :])
        self._cursor += 1
        self._show(rest + b"\b" * (len(rest) - 1))

    def _erase(self) -> None:
        if self._cursor:
            self._cursor -= 1
            del self._line[self._cursor]
            rest = bytes(self._line[self._cursor :])
            self._show(b"\b" + rest + b" \b" + b"\b" * len(rest))

    def _left(self) -> None:
        if self._cursor:
            self._cursor -= 1
            self._show(b"\b")

    def _right(self) -> None:
        if self._cursor < len(self._line):
            self._show(bytes(self._line[self._cursor : self._cursor + 1]))
            self._cursor += 1

    def _home(self) -> None:
        self._show(b"\b" * self._cursor)
        self._cursor = 0

    def _end(self) -> None:
        self._show(bytes(self._line[self._cursor :]))
        self._cursor = len(self._line)

    def _up(self) -> None:
        if self._at is None:
            self._at, self._pattern = len(self.history), bytes(self._line[: self._cursor])
        self._recall(range(self._at - 1, -1, -1))

    def _down(self) -> None:
        if self._at is None:
            return
        if self._at + 1 >= len(self.history):
            self._replace(b"")
            self._at = None
        else:
            self._recall(range(self._at + 1, len(self.history)))

    def _recall(self, places: range) -> None:
        """Show the first line at one of `places` in the history that begins with what had been typed."""
        found = next((place for place in places if self.history[place].startswith(self._pattern)), None)
        if found is not None:
            self._at = found
            self._replace(self.history[found])

    def _replace(self, line: bytes) -> None:
        self._show(b" " * (len(self._line) - self._cursor) + b"\b \b" * len(self._line) + line)
        self._line[:] = line
        self._cursor = len(line)
