"""JSON text in which single values are replaced, while everything else stays as its author wrote it, to the byte."""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

_decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
_space = re.compile(r"[ \t\n\r]*")


class Place(NamedTuple):
    """Where a value stands in the text: from `start` up to `end`."""

    start: int
    end: int


class JSONText:
    """A JSON document. Numbers stay text, so they may have any length and form. Raises ValueError when it is none.

    root: the place of the whole value.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._changes: dict[Place, str] = {}
        start = self._skip(0)
        self.root = Place(start, self._end(start))
        if self._skip(self.root.end) != len(text):
            raise ValueError("something follows the document")

    def value(self, place: Place) -> Any:
        """The value at `place`, with its numbers as text."""
        return _decoder.raw_decode(self._text, place.start)[0]

    def string(self, place: Place) -> str | None:
        """The string at `place`; None when another value stands there."""
        return str(self.value(place)) if self._text[place.start] == '"' else None

    def raw(self, place: Place) -> str:
        """The text at `place`."""
        return self._text[place.start : place.end]

    def members(self, place: Place) -> dict[str, Place]:
        """The values of the object at `place` by name, the last one of each name; {} when it is no object."""
        found: dict[str, Place] = {}

        def member(at: int) -> int:
            name, at = _decoder.raw_decode(self._text, at)
            start = self._skip(self._skip(at) + 1)
            found[name] = Place(start, self._end(start))
            return found[name].end

        self._each(place, "{", member)
        return found

    def items(self, place: Place) -> list[Place]:
        """The values of the array at `place`; [] when it is no array."""
        found: list[Place] = []

        def item(at: int) -> int:
            found.append(Place(at, self._end(at)))
            return found[-1].end

        self._each(place, "[", item)
        return found

    def replace(self, place: Place, text: str) -> None:
        """Put the JSON `text` in the place of a value, or of a value within one that is not replaced itself."""
        self._changes[place] = text

    def insert(self, place: Place, name: str, text: str) -> None:
        """Add a member to the object at `place`, as its first."""
        after = place.start + 1
        comma = ", " if self.members(place) else ""
        self._changes[Place(after, after)] = f"{json.dumps(name)}: {text}{comma}"

    def changed(self) -> str:
        """The text with all replacements."""
        pieces, at = [], 0
        for place in sorted(self._changes):
            pieces += [self._text[at : place.start], self._changes[place]]
            at = place.end
        return "".join([*pieces, self._text[at:]])

    def _each(self, place: Place, opening: str, take: Callable[[int], int]) -> None:
        if self._text[place.start] != opening:
            return
        at = self._skip(place.start + 1)
        while at < place.end - 1:
            at = self._skip(self._skip(take(at)) + 1)

    def _skip(self, at: int) -> int:
        found = _space.match(self._text, at)
        return at if found is None else found.end()

    def _end(self, start: int) -> int:
        try:
            return _decoder.raw_decode(self._text, start)[1]
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
