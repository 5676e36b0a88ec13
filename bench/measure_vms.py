"""Starting and stopping VPCS, beside VPCS that are merely spawned."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bench import raw
from bench.client import BenchError, Connection, encode
from bench.effort import Effort
from bench.lab import Lab, Machine
from bench.servers import Server, labplane
from bench.table import Row
from labplane_vpcs.sockets import has_udp_port

GLANCE_SECONDS = 0.005
SETTLED_SECONDS = 0.5
SHARE_SECONDS = 2.0


async def start(effort: Effort) -> list[Row]:
    """One VM is started and stopped again; then a raw VPCS, and so on."""
    starts: list[float] = []
    stops: list[float] = []
    spawns: list[float] = []
    with labplane() as server:
        lab = await Lab.of(server)
        (machine,) = await lab.machines(await lab.project(), 1)
        await _start_and_stop(server, lab, machine)
        for _ in range(effort.rounds):
            times = []
            for _ in range(effort.starts):
                spawn = raw.start(1)
                times.append((spawn, *await _start_and_stop(server, lab, machine)))
            for column, kept in zip(zip(*times, strict=True), (spawns, starts, stops), strict=True):
                kept.append(statistics.median(column) * 1000)
    bound = "at most 1.5 x a raw spawn until its UDP socket is bound"
    return [
        Row("start: 204 with lport bound", "ms", starts, spawns, bound, 1.5),
        Row("stop: 204 with its program ended", "ms", stops, [], "at most 15 ms", 15.0),
    ]


async def storm(effort: Effort) -> list[Row]:
    """Many VMs are started at once, each over a connection of its own, while somebody keeps asking for the version."""
    starts, spawns, glances = [], [], []
    with labplane() as server:
        lab = await Lab.of(server)
        for _ in range(effort.rounds):
            spawns.append(raw.start(effort.storm) * 1000)
            project = await lab.project()
            machines = await lab.machines(project, effort.storm)
            took, seen = await start_all(server, machines)
            starts.append(took * 1000)
            glances.append(statistics.quantiles(seen, n=100, method="inclusive")[98] * 1000)
            await lab.delete(project)
    count = effort.storm
    return [
        Row(
            f"{count} starts at once, all answered", "ms", starts, spawns, f"at most 2 x the raw spawn of {count}", 2.0
        ),
        Row("GET version meanwhile, p99", "ms", glances, [], "at most 50 ms", 50.0),
    ]


async def rest(effort: Effort) -> list[Row]:
    """What running VPCS take of a processor with nothing to do, through labplane and raw."""
    ours, bare = [], []
    with labplane() as server:
        lab = await Lab.of(server)
        for _ in range(effort.rounds):
            with raw.started(effort.running) as (_, pids):
                bare.append(_share(pids))
            project = await lab.project()
            await start_all(server, await lab.machines(project, effort.running))
            ours.append(_share([child.pid for child in server.emulators()]))
            await lab.delete(project)
    goal = "at most 0.25 of a raw one's"
    return [Row("a VPCS that runs with nothing to do: processor", "%", ours, bare, goal, 0.25)]


def _share(pids: Sequence[int]) -> float:
    """Per cent of a processor that each of these processes takes, once all of its threads run."""
    time.sleep(SETTLED_SECONDS)
    before, began = sum(map(_run_seconds, pids)), time.perf_counter()
    time.sleep(SHARE_SECONDS)
    return (sum(map(_run_seconds, pids)) - before) / (time.perf_counter() - began) / len(pids) * 100


def _run_seconds(pid: int) -> float:
    """Processor time so far, to the nanosecond; `stat` has none of who always sleeps when the clock ticks."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


async def _start_and_stop(server: Server, lab: Lab, machine: Machine) -> tuple[float, float]:
    """The seconds that each takes; that it did what it says is checked outside of them."""
    started = await lab.connection.timed(encode("POST", machine.path + "/start", {}), 204)
    if not any(has_udp_port(child.pid, machine.lport) for child in server.emulators()):
        raise BenchError(f"204, but no program of labplane's has UDP {machine.lport}")
    stopped = await lab.connection.timed(encode("POST", machine.path + "/stop", {}), 204)
    if server.emulators():
        raise BenchError("204, but its program runs")
    return started, stopped


async def start_all(server: Server, machines: list[Machine]) -> tuple[float, list[float]]:
    """The seconds until all have answered, and those that each GET of the version took meanwhile."""
    connections = [await Connection.to(server.port) for _ in machines]
    glance = asyncio.ensure_future(_keep_glancing(server, answered := asyncio.Event()))
    await asyncio.sleep(0)
    begin = time.perf_counter()
    requests = [encode("POST", machine.path + "/start", {}) for machine in machines]
    try:
        await asyncio.gather(*(line.timed(one, 204) for line, one in zip(connections, requests, strict=True)))
        took = time.perf_counter() - begin
    finally:
        answered.set()
        seen = await glance
        for connection in connections:
            connection.close()
    return took, seen


async def _keep_glancing(server: Server, until: asyncio.Event) -> list[float]:
    connection, seen = await Connection.to(server.port), []
    while not until.is_set():
        seen.append(await connection.timed(encode("GET", "/v1/version"), 200))
        await asyncio.sleep(GLANCE_SECONDS)
    connection.close()
    return seen
