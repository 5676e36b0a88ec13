"""Port ranges of servers under test: no two processes of one user get the same numbers."""

import subprocess
import sys

from labplane.testing import server
from labplane.testing.server import KEPT, free_range

ANOTHER = """
from labplane.testing.server import free_range
print(" ".join(free_range(100) for _ in range(8)), flush=True)
input()
"""


def numbers(text: str) -> set[int]:
    first, last = map(int, text.split("-"))
    return set(range(first, last + 1))


def test_nobody_else_is_given_the_ports_of_a_range() -> None:
    others: list[subprocess.Popen[str]] = []
    try:
        for _ in range(2):
            command = [sys.executable, "-c", ANOTHER]
            others.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        given = [text for one in others if one.stdout for text in one.stdout.readline().split()]
        given += [free_range(40) for _ in range(KEPT)]
        assert len(given) == 16 + KEPT
        assert len(set().union(*map(numbers, given))) == 16 * 100 + KEPT * 40, "some were given twice"
    finally:
        for one in others:
            one.communicate("\n")


def test_ports_are_given_again_once_a_process_has_been_given_many_others() -> None:
    for _ in range(5 * KEPT):
        free_range(40)
    assert len(server._given) == KEPT
