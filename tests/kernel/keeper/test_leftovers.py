"""What ended runs have left: found by a look at the keeper's own children, and by a search when there is a stranger."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from labplane_keeper import leftovers

WAITS = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(WAITS, stdin=subprocess.PIPE) as process:
        yield process.pid


def others(child: int) -> set[int]:
    """The children of this process but for `child`: those of whatever else runs the tests."""
    found = leftovers._own_children()
    assert found is not None
    assert child in found
    return found - {child}


def test_the_system_is_not_searched_when_each_child_is_known(child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {child, *others(child)}
    monkeypatch.setattr(leftovers, "_processes", None)
    assert leftovers.left_by({1: "a/1"}, known, nothing_runs=False) == {}


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "a system that lists no children"])
def test_a_child_that_is_nobody_s_is_told_by_its_session(
    child: int, listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = others(child)
    if not listed:
        monkeypatch.setattr(leftovers, "_own_children", lambda: None)
    session = leftovers._processes()[child].session
    assert leftovers.left_by({session: "a/1"}, known, nothing_runs=False) == {session: [child]}
    assert leftovers.left_by({1: "a/1"}, known, nothing_runs=False) == {}
    assert leftovers.left_by({1: "a/1"}, known, nothing_runs=True) == {0: [child]}
