"""The keys that a viewer types, whichever way they come: each Enter reaches the emulator as one CR."""

import re
from collections.abc import Callable

ENTER = re.compile(rb"\r[\n\0]?|\n")


class Keyboard:
    """Passes on the bytes that one viewer typed, as they come.

    Enter, be it CR LF, CR NUL, CR or LF, becomes one CR, even if its two bytes come in two pieces.
    """

    def __init__(self, typed: Callable[[bytes], None]) -> None:
        self._typed = typed
        self._entered = False

    def feed(self, data: bytes) -> None:
        """Take the next piece; an empty one is none."""
        if not data:
            return
        keys = data[1:] if self._entered and data[:1] in (b"\n", b"\0") else data
        self._entered = data.endswith(b"\r")
        if keys:
            self._typed(ENTER.sub(b"\r", keys))
