"""A server that is killed and started again: how soon it answers, with VMs that run, and with the same ones stopped."""

import asyncio
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

from bench.client import BenchError, Connection, encode
from bench.effort import Effort
from bench.lab import Lab
from bench.measure_vms import start_all
from bench.servers import Server, labplane_in, projects
from bench.table import Row
from labplane_keeper.visiting import end_all, visiting


async def restart(effort: Effort) -> list[Row]:
    """Each round: VMs that run, SIGKILL, the next server; then these VMs stopped, SIGKILL, the next server."""
    running, stopped, each, sizes, idles = [], [], [], [], []
    for _ in range(effort.rounds):
        with projects() as directory:
            place = Path(directory, "projects", ".labplane")
            try:
                with labplane_in(directory) as server:
                    lab = await Lab.of(server)
                    machines = await lab.machines(await lab.project(), effort.running_on)
                    await start_all(server, machines)
                    pids = sorted(one.pid for one in server.emulators())
                    os.kill(server.pid, signal.SIGKILL)
                with labplane_in(directory) as server:
                    running.append(await _until_answered(server) * 1000)
                    each.append(_taken_over(server) / effort.running_on * 300 * 1000)
                    with visiting(place) as keeper:
                        before = keeper.ask("status")
                        await asyncio.sleep(effort.idle_seconds)
                        after = keeper.ask("status")
                        found = sorted(run["pid"] for run in keeper.ask("list")["runs"])
                    if found != pids:
                        raise BenchError("other processes run than before the server was killed")
                    sizes.append(after["rss"] / 2**20)
                    idles.append((after["cpu"] - before["cpu"]) / effort.idle_seconds * 100)
                    connection = await Connection.to(server.port)
                    for machine in machines:
                        await connection.timed(encode("POST", machine.path + "/stop", {}), 204)
                    os.kill(server.pid, signal.SIGKILL)
                with labplane_in(directory) as server:
                    stopped.append(await _until_answered(server) * 1000)
            finally:
                end_all(place, 0.0)
    count = effort.running_on
    return [
        Row(
            f"restart: first answer with {count} VMs that run",
            "ms",
            running,
            stopped,
            "at most 1.5 x stopped ones",
            1.5,
        ),
        Row("300 VMs taken over, reckoned from these", "ms", each, [], "at most 100 ms", 100.0),
        Row(
            f"keeper of {count} VMs: resident memory",
            "MiB",
            sizes,
            [],
            "at most 15 MiB and 16 KiB a VM",
            15 + count / 64,
        ),
        Row(f"keeper of {count} idle VPCS: processor", "%", idles, [], "at most 0.1 %", 0.1),
    ]


def _taken_over(server: Server) -> float:
    """Seconds in all that it took to take over the VMs, as the server itself measures."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as reply:
        text: str = reply.read().decode()
    found = re.search(r'^labplane_vm_operation_seconds_sum\{[^}]*action="take over"[^}]*\} (\S+)$', text, re.MULTILINE)
    if found is None:
        raise BenchError("the server has taken over nothing, as it says")
    return float(found[1])


async def _until_answered(server: Server) -> float:
    """Seconds from the start of the server to its first answer."""
    connection = await Connection.to(server.port)
    await connection.timed(encode("GET", "/v1/version", {}), 200)
    return time.perf_counter() - server.began
