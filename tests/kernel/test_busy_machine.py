"""A busy machine is nobody's fault: the time for which the loop waits for a processor is put down to no plugin.

No other thread of this process has work meanwhile: waiting for Python's lock looks like waiting for anything else.
"""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labplane import supervision
from labplane.events import Events
from labplane.reports import Report
from labplane.supervision import BLOCKING_SECONDS, Supervisor
from support import until

BUSY = 4
SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); print('up', flush=True)\nwhile True: pass"

pytestmark = pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="this kernel does not tell what a thread waits"
)


def compute(seconds: float) -> None:
    """Use the processor for that long, however long it takes."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture
def crowd() -> Iterator[None]:
    """Programs that keep the one processor busy on which this thread runs meanwhile."""
    allowed = os.sched_getaffinity(0)
    processor = min(allowed)
    programs = [
        subprocess.Popen([sys.executable, "-c", SPIN, str(processor)], stdout=subprocess.PIPE) for _ in range(BUSY)
    ]
    try:
        for program in programs:
            assert program.stdout
            assert program.stdout.readline() == b"up\n"
        os.sched_setaffinity(0, {processor})
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        for program in programs:
            program.kill()
            program.communicate()


@pytest.fixture
def report() -> Report:
    return Report("working", "active", "labplane-working", "1", "labplane.v1")


Doing = Callable[[], None]
Way = Callable[[Supervisor, Report, Doing], float]


def in_a_function(supervisor: Supervisor, report: Report, does: Doing) -> float:
    began = time.perf_counter()
    supervisor.run(report, "work", does)
    return time.perf_counter() - began


def in_a_coroutine(supervisor: Supervisor, report: Report, does: Doing) -> float:
    """After its first wait, too, where each step counts by itself."""

    async def work() -> float:
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        does()
        return time.perf_counter() - began

    return asyncio.run(supervisor.call(report, "work", work()))


def within_another(supervisor: Supervisor, report: Report, does: Doing) -> float:
    outer = Report("outer", "active", "labplane-outer", "1", "labplane.v1")
    with supervisor.step(outer, "waiting"):
        took = in_a_function(supervisor, report, does)
    assert outer.last_fault is None
    return took


ways = pytest.mark.parametrize("way", [in_a_function, in_a_coroutine, within_another])


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervision, "WATCH_SECONDS", 60.0)
    supervisor = Supervisor(lambda: 20.0, Events())
    supervisor.watch()
    yield supervisor
    supervisor.unwatch()


@ways
def test_who_computes_a_little_is_not_blamed(way: Way, crowd: None, supervisor: Supervisor, report: Report) -> None:
    took = way(supervisor, report, lambda: compute(0.06))
    assert took > 1.5 * BLOCKING_SECONDS, "or the test shows nothing"
    assert report.last_fault is None


@ways
@pytest.mark.parametrize("does", [lambda: time.sleep(0.25), lambda: compute(0.25)], ids=["sleeps", "computes"])
def test_who_blocks_the_server_is_blamed_for_that_alone(
    does: Doing, way: Way, crowd: None, supervisor: Supervisor, report: Report
) -> None:
    way(supervisor, report, does)
    assert report.last_fault
    assert report.last_fault.startswith("work: blocked the server for ")
    assert 230 <= int(report.last_fault.split()[-2]) < 350


def test_who_reads_what_does_not_come_is_blamed(
    tmp_path: Path, crowd: None, supervisor: Supervisor, report: Report
) -> None:
    """As from a slow disk: waiting for anything but a processor is its own affair."""
    os.mkfifo(tmp_path / "slow")
    with subprocess.Popen(["/bin/sh", "-c", 'sleep 0.3; : > "$0"', str(tmp_path / "slow")]):
        in_a_function(supervisor, report, lambda: print((tmp_path / "slow").read_bytes()))
    assert report.last_fault
    assert report.last_fault.startswith("work: blocked the server for")


def test_who_computes_a_little_is_not_said_to_be_blocking_the_server_meanwhile(
    crowd: None, report: Report, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervision, "WATCH_SECONDS", 0.3)
    supervisor = Supervisor(lambda: 20.0, Events())
    supervisor.watch()
    try:
        with caplog.at_level(logging.ERROR):
            took = in_a_function(supervisor, report, lambda: compute(0.15))
            assert took > 0.3, "or the test shows nothing"
            assert "is blocking the server" not in caplog.text
            in_a_function(supervisor, report, lambda: until(lambda: "is blocking" in caplog.text, "a word of it"))
    finally:
        supervisor.unwatch()
