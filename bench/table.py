"""What was measured, what was hoped for, and both as a table."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure of labplane for each round, beside that of the floor in the same round.

    goal:  in words.
    limit: what the goal means in figures: of the ratio to the floor where there is a floor, else of labplane's own.
    least: the goal is at least, not at most, the limit.
    """

    what: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float]
    goal: str
    limit: float
    least: bool = False

    @property
    def ratios(self) -> list[float]:
        return [ours / floor for ours, floor in zip(self.ours, self.floor, strict=True)] if self.floor else []

    @property
    def met(self) -> bool:
        figure = statistics.median(self.ratios or self.ours)
        return figure >= self.limit if self.least else figure <= self.limit

    def cells(self) -> list[str]:
        spread = f" ({min(self.ratios):.2f} to {max(self.ratios):.2f})" if len(self.ratios) > 1 else ""
        return [
            self.what,
            f"{_short(statistics.median(self.ours))} {self.unit}",
            f"{_short(statistics.median(self.floor))} {self.unit}" if self.floor else "",
            f"{statistics.median(self.ratios):.2f}{spread}" if self.floor else "",
            self.goal,
            "yes" if self.met else "no",
        ]


HEADS = ("what", "labplane", "floor", "ratio, median (range of the rounds)", "goal", "met")


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [HEADS, ("---", "--:", "--:", "--:", "---", "---"), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _short(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
