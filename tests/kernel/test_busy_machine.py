"""A busy machine is nobody's fault: what the server's thread waits for a processor is taken off."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inprocess import Served, serving
from labplane import Plugin, Request, Route, hook
from labplane.plugins.loading import Candidate
from labplane.supervision import BLOCKING_SECONDS

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


class Working(Plugin):
    """A route that does what a test has put there; it answers with the seconds that it took."""

    does: Callable[[], Any]

    @hook
    def routes(self) -> Iterable[Route]:
        return [
            Route("GET", "/v1/labour", self.plain, status=200, summary="Work in a function"),
            Route("POST", "/v1/labour", self.work, status=200, summary="Work in a coroutine"),
        ]

    def plain(self, _: Request) -> Any:
        began = time.perf_counter()
        type(self).does()
        return {"took": time.perf_counter() - began}

    async def work(self, request: Request) -> Any:
        return self.plain(request)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [Candidate("working", lambda: Working, "labplane-working", "1")]) as served:
        yield served


@pytest.fixture
def crowd(served: Served) -> Iterator[None]:
    """Programs that keep the one processor busy on which the server's thread runs."""
    (processor, *_) = os.sched_getaffinity(0)
    served.call(os.sched_setaffinity, 0, {processor})
    programs = [
        subprocess.Popen([sys.executable, "-c", SPIN, str(processor)], stdout=subprocess.PIPE) for _ in range(BUSY)
    ]
    try:
        for program in programs:
            assert program.stdout
            assert program.stdout.readline() == b"up\n"
        yield
    finally:
        for program in programs:
            program.kill()
            program.communicate()


def blamed(served: Served) -> str | None:
    (found,) = (one for one in served.http.get("/v1/plugins").json() if one["name"] == "working")
    assert (found["last_fault"] is None) == (found["faults"] == 0)
    return found["last_fault"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_computes_a_little_on_a_busy_machine_is_not_blamed(method: str, served: Served, crowd: None) -> None:
    Working.does = staticmethod(lambda: compute(0.05))
    took = served.http.request(method, "/v1/labour").json()["took"]
    assert took > 1.5 * BLOCKING_SECONDS, "or the test shows nothing"
    assert blamed(served) is None


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("does", [lambda: time.sleep(0.25), lambda: compute(0.25)], ids=["sleeps", "computes"])
def test_who_blocks_the_server_on_a_busy_machine_is_blamed_for_that_alone(
    does: Callable[[], Any], method: str, served: Served, crowd: None
) -> None:
    Working.does = staticmethod(does)
    served.http.request(method, "/v1/labour")
    fault = blamed(served)
    assert fault
    assert fault.startswith(f"{method} /v1/labour: blocked the server for ")
    assert 230 <= int(fault.split()[-2]) < 350
    assert fault.endswith(" ms")


def test_a_plugin_that_reads_what_does_not_come_is_blamed(served: Served, tmp_path: Path, crowd: None) -> None:
    """As from a slow disk: waiting for anything but a processor is its own affair."""
    os.mkfifo(tmp_path / "slow")
    Working.does = staticmethod((tmp_path / "slow").read_bytes)
    with subprocess.Popen(["/bin/sh", "-c", 'sleep 0.3; : > "$0"', str(tmp_path / "slow")]):
        served.http.get("/v1/labour")
    assert "GET /v1/labour: blocked the server for" in (blamed(served) or "")
