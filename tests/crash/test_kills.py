"""Nothing acknowledged is lost and no machine notices when the server is killed, at any moment.

LABPLANE_CRASH says how often it is killed, LABPLANE_CRASH_SEED which requests are sent; a failure prints the seed.
"""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import httpx2
import pytest

from acknowledged import SECONDS, Client, Seen
from crashing import CLIENTS, KILLS, REPLIES, SEED, Crash, troubles
from lives import Lives, until_ended
from support import until
from survival import Survivors
from tracing import TRACEABLE, traced

SELDOM = 6  # how often it is waited for a call that a commit makes now and then only
CALLS = ("pwrite64", "fdatasync", "ftruncate")  # of SQLite's journal: to commit, to make it durable, to begin it anew


async def work_in_peace(lives: Lives, clients: list[Client]) -> None:
    async with httpx2.AsyncClient(base_url=lives.server.url, timeout=SECONDS, trust_env=False) as http:
        await asyncio.gather(*(client.run(http, partial(client.has_done, 3 * REPLIES)) for client in clients))


def test_a_server_that_lives_has_what_it_acknowledged(tmp_path: Path) -> None:
    """Otherwise it is the model that errs."""
    with Lives.beginning(tmp_path / "projects") as lives:
        clients = [Client(lives, SEED, number) for number in range(CLIENTS)]
        asyncio.run(work_in_peace(lives, clients))
        found = [complaint for client in clients for complaint in client.complaints]
        found += Survivors(clients).look(Seen.at(lives), died=False)
        told = "\n".join([*found[:10], *troubles(lives.server)])
        assert not found, f"LABPLANE_CRASH_SEED={SEED} reproduces it:\n{told}"


@pytest.mark.timeout(60 + 10 * KILLS)
def test_nothing_acknowledged_is_lost_when_the_server_is_killed_and_no_machine_notices(tmp_path: Path) -> None:
    with Lives.beginning(tmp_path / "projects") as lives:
        crash = Crash(lives)
        for kill in range(KILLS):
            crash.work_until_killed(
                lambda: os.kill(lives.server.process.pid, signal.SIGKILL), crash.chance.randrange(REPLIES)
            )
            lives.kill()
            lives.again()
            crash.look(f"kill {kill + 1}")
        crash.pinging.goes_on()
        print(f"seed {SEED}: {KILLS} kills, {crash.replies} replies")


@pytest.mark.timeout(60 + 10 * KILLS)
@pytest.mark.parametrize("call", CALLS)
def test_nothing_acknowledged_is_lost_when_the_server_is_killed_within_a_commit(call: str, tmp_path: Path) -> None:
    """At each system call of it, the first, the second, and so on."""
    hits = 0
    files = [tmp_path / "projects" / ".labplane" / f"state.db{suffix}" for suffix in ("", "-wal")]
    with Lives.beginning(tmp_path / "projects", within=TRACEABLE) as lives:
        crash = Crash(lives)
        for number in range(1, (max(3, KILLS // 4) if call == "pwrite64" else SELDOM) + 1):
            if hits and call != "pwrite64":
                break
            when = number if call == "pwrite64" else 1
            with traced(lives.server.process.pid, f"{call}:signal=KILL:when={when}", paths=files):
                crash.work_until_killed(lambda: os.kill(lives.server.process.pid, signal.SIGALRM), 4 * REPLIES)
            hits += lives.server.process.wait() == -signal.SIGKILL
            lives.again()
            crash.look(f"{call} {number}")
        assert hits, f"the server was never at a {call} of its journal: the test looks at the wrong files"


@pytest.mark.parametrize("both", [False, True], ids=["the keeper", "both"])
@pytest.mark.timeout(60 + 10 * KILLS)
def test_no_machine_outlives_its_keeper_and_all_that_was_acknowledged_stays(both: bool, tmp_path: Path) -> None:
    """Whether the keeper is killed under a server that goes on, or together with it. All can be started again."""
    with Lives.beginning(tmp_path / "projects") as lives:
        crash = Crash(lives)
        for kill in range(max(2, KILLS // 10)):
            crash.work(REPLIES)
            keeper = lives.keeper()
            if both:
                lives.kill()
            os.kill(keeper.pid, signal.SIGKILL)
            until_ended(keeper)
            if both:
                lives.again()
            until(crash.all_stopped, "all machines to be shown as stopped")
            crash.look(f"kill {kill + 1}", died=both, ended=True)
            crash.pinging.begin()
