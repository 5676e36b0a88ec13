"""`Measures`: how often the lab did something, and how long it took."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf

BOUNDS = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)


@dataclass(slots=True)
class Measured:
    """What is known of one thing that the lab does.

    what:    its name: "request", "vm_operation".
    labels:  what tells this one from others of that name, by name.
    seconds: how long it took, all times together.
    counts:  how often it took at most so many seconds as each of `BOUNDS`, and longer; each time counts once.
    """

    what: str
    labels: dict[str, str]
    seconds: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    @property
    def buckets(self) -> list[tuple[float, int]]:
        """How often it took at most so many seconds, for rising numbers of seconds, the last of which is infinity."""
        return list(zip((*BOUNDS, inf), accumulate(self.counts), strict=True))


class Measures:
    """The book in which a lab notes what it does, for whoever shows that to others. Iterating gives each `Measured`."""

    def __init__(self) -> None:
        self._book: dict[tuple[str, ...], Measured] = {}

    def add(self, what: str, seconds: float, **labels: str) -> None:
        """Note that `what` was done once and took `seconds`. It costs about a microsecond.

        labels: the same names for each `what`, with few values each: all that have ever come are kept.
        """
        key = (what, *labels.values())
        known = self._book.get(key)
        if known is None:
            known = self._book[key] = Measured(what, labels)
        known.seconds += seconds
        known.counts[bisect_left(BOUNDS, seconds)] += 1

    def __iter__(self) -> Iterator[Measured]:
        return iter(list(self._book.values()))
