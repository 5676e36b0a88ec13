"""What a run has left: processes that have gone into a session of their own, or lost their parent, and still go on.

Where a run has a cgroup of its own, all of it is there. Otherwise a process belongs to a run if it is of its session,
carries its mark in the environment with which it was started, or descends from one that does. Only one that changes all
three while its parent lives gets away, until its keeper ends.
"""

import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from labplane_keeper import groups

if TYPE_CHECKING:
    from labplane_keeper.keeper import Keeper

SECONDS = 10.0  # that it takes at most until what is killed is gone
MARK = "LABPLANE_RUN"  # the variable that each program finds in its environment


class _Process(NamedTuple):
    parent: int
    session: int
    ended: bool


def mark(name: str, generation: int) -> str:
    """What the variable `MARK` has of the run of that id and generation."""
    return f"{name}/{generation}"


def end(keeper: "Keeper") -> None:
    """Kill what runs that have ended have left, and take them off `leaving` when it is gone."""
    if not keeper.leaving:
        return
    now = time.monotonic()
    for run, deadline in list(keeper.leaving.items()):
        if run.cgroup and (now >= deadline or groups.is_empty(run.cgroup)):
            del keeper.leaving[run]
        elif run.cgroup:
            groups.kill(run.cgroup)
    without = {run: deadline for run, deadline in keeper.leaving.items() if not run.cgroup}
    if not without:
        return
    known = {*keeper.by_pid, *([] if keeper.check is None else [keeper.check[0]])}
    ended = {run.pid: run.mark for run in without}
    left = left_by(ended, known, nothing_runs=not keeper.by_pid and not keeper.starting)
    for pids in left.values():
        kill(pids)
    for run, deadline in without.items():
        if now >= deadline or not (left.get(0) or left.get(run.pid)):
            del keeper.leaving[run]


def left_by(ended: Mapping[int, str], known: Collection[int], *, nothing_runs: bool) -> dict[int, list[int]]:
    """What goes on of each run that has ended, given by the pid that it had and its mark.

    To be called by the subreaper, whose children all orphans are. known: its children that are none.
    nothing_runs: then orphans whose run cannot be told are of those that have ended, too; under the pid 0.
    """
    found: dict[int, list[int]] = {}
    if _own_children() == set(known):  # as after the end of most programs, however many others there are
        return found
    there = _processes()
    children = _children(there)
    for orphan in set(children.get(os.getpid(), ())) - set(known):
        if there[orphan].ended:  # and not reaped: what it had started may have been looked at when it still had it
            found.setdefault(0, []).append(orphan)
            continue
        carried = _mark_of(orphan)
        run = next((pid for pid, its in ended.items() if there[orphan].session == pid or carried == its), None)
        if run is not None or nothing_runs:
            found.setdefault(run or 0, []).extend(_with_descendants(orphan, children))
    return found


def marked(marks: Collection[str]) -> list[int]:
    """The processes of this system that carry one of these marks, and all that descend from them."""
    there = _processes()
    children = _children(there)
    found = [pid for pid in there if _mark_of(pid) in marks]
    return [one for pid in found for one in _with_descendants(pid, children)]


def kill(pids: Collection[int]) -> None:
    """SIGKILL to each of them that is there."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _processes() -> dict[int, _Process]:
    """Every process, those included that have ended and are not reaped."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
            found[int(name)] = _Process(int(parent), int(session), state in b"ZX")
    return found


def _own_children() -> set[int] | None:
    """The children of this process, which has to be the one that reaps them; None where the system does not list them.

    The list is exact then (man 5 proc): a child leaves it when it is reaped. That of the thread with the process's own
    number comes last, since it takes over those of a thread that ends meanwhile.
    """
    own = str(os.getpid())
    found: set[int] = set()
    for thread in sorted(os.listdir("/proc/self/task"), key=own.__eq__):
        try:
            with open(f"/proc/self/task/{thread}/children", "rb") as file:
                found.update(map(int, file.read().split()))
        except OSError:
            if thread == own:
                return None
    return found


def _children(there: Mapping[int, _Process]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for pid, process in there.items():
        children.setdefault(process.parent, []).append(pid)
    return children


def _mark_of(pid: int) -> str | None:
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for variable in file.read().split(b"\0"):
            name, _, value = variable.partition(b"=")
            if name == MARK.encode():
                return value.decode(errors="replace")
    return None


def _with_descendants(pid: int, children: Mapping[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, ()):
        yield from _with_descendants(child, children)
