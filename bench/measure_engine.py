"""Built-in PCs in their engine, beside VPCS, the program, in the same server."""

import asyncio
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bench.client import BenchError, encode
from bench.effort import Effort
from bench.lab import Lab, Machine
from bench.servers import RAW_UDP, TOP, Server, labplane
from bench.table import Row

BUILT_IN, PROGRAM = "builtin", "vpcs"
PORTS = {"consoles": "10000-15999", "udp": "20000-32000"}
MANY = 5
CHATTY = "show\n" * 12  # a startup script that prints more than 4 KiB
PINGS = 200
MIB = 1024.0


async def engine(effort: Effort) -> list[Row]:
    """PCs in number, their pings, and their echoes and storms."""
    return [*await _scale(effort), *await _memory(effort), *await _pings(effort), *_echo(effort)]


async def _scale(effort: Effort) -> list[Row]:
    """As many PCs as VMs are measured elsewhere, by one client; and programs, fewer, for they take their time."""
    count, few = effort.vms, max(10, effort.vms // 20)
    whole: list[float] = []
    each: dict[str, list[float]] = {BUILT_IN: [], PROGRAM: []}
    starts: dict[str, list[float]] = {BUILT_IN: [], PROGRAM: []}
    idle: list[float] = []
    with labplane(**PORTS) as server:
        lab = await Lab.of(server)
        for _ in range(effort.rounds):
            for kind, number in ((BUILT_IN, count), (PROGRAM, few)):
                began = time.perf_counter()
                projects, started = await _started(lab, kind, number)
                took = time.perf_counter() - began
                each[kind].append(took * 1000 / number)
                starts[kind].append(statistics.median(started) * 1000)
                if kind == BUILT_IN:
                    whole.append(took)
                    idle.append(await _share(server, effort.idle_seconds))
                for project in projects:
                    await lab.delete(project)
    return [
        Row(
            f"{count:,} built-in PCs created, linked in pairs, started", "s", whole, [], "3 ms each", 3.0 * count / 1000
        ),
        Row("a PC created, linked, started", "ms", each[BUILT_IN], each[PROGRAM], "less than a program", 1.0),
        Row("start of a built-in PC answered", "ms", starts[BUILT_IN], [], "at most 2 ms", 2.0),
        Row("start, beside that of a program", "ms", starts[BUILT_IN], starts[PROGRAM], "less than a program", 1.0),
        Row(f"{count:,} built-in PCs at rest: processor, with the server", "%", idle, [], "at most 0.5 %", 0.5),
    ]


async def _memory(effort: Effort) -> list[Row]:
    """What engine and server have with a number of PCs and with five times as many, each with 4 KiB on its console."""
    rows = []
    for count, most in ((effort.vms, 60.0), (MANY * effort.vms, 120.0)):
        with labplane(**PORTS) as server:
            lab = await Lab.of(server)
            await _started(lab, BUILT_IN, 2)
            processes = {"server": server, "engine": _engine(server)}
            before = {name: one.rss() for name, one in processes.items()}
            await _started(lab, BUILT_IN, count, startup_script=CHATTY)
            await asyncio.sleep(1)
            after = {name: one.rss() for name, one in processes.items()}
        rows.append(Row(f"engine with {count:,} PCs: RSS", "MiB", [after["engine"]], [], f"at most {most:g} MiB", most))
        for name in processes:
            grown = (after[name] - before[name]) * MIB / count
            rows.append(Row(f"{name} with {count:,} PCs: more for each", "KiB", [grown], [], "at most 12 KiB", 12.0))
    return rows


async def _pings(effort: Effort) -> list[Row]:
    """Two PCs that ping each other, at rest and while another one gets 100,000 frames a second."""
    p50: dict[str, list[float]] = {BUILT_IN: [], PROGRAM: []}
    p99, rates = [], []
    with labplane(**PORTS) as server:
        lab = await Lab.of(server)
        pairs = {kind: await _pair(lab, kind) for kind in p50}
        stormed = (await _machines(lab, await lab.project(), BUILT_IN, 1, startup_script="ip 10.0.0.2/24\n"))[0]
        await lab.connection.timed(lab.nio(stormed.path, stormed.lport, RAW_UDP), 201)
        await lab.connection.call("POST", f"{stormed.path}/start", {}, 204)
        for _ in range(effort.rounds):
            for kind, (one, _) in pairs.items():
                p50[kind].append(statistics.median(await _times(one)) * 1000)
            command = [sys.executable, "-m", "bench.flood", "storm", str(RAW_UDP), str(stormed.lport), "4"]
            storm = await asyncio.create_subprocess_exec(*command, cwd=TOP, stdout=subprocess.PIPE)
            times = await _times(pairs[BUILT_IN][0])
            p99.append(statistics.quantiles(times, n=100, method="inclusive")[98])
            said, _ = await storm.communicate()
            rates.append(float(said))
    return [
        Row("ping between two PCs, p50", "µs", p50[BUILT_IN], p50[PROGRAM], "at most a program's", 1.0),
        Row("ping between two built-in PCs, p50", "µs", p50[BUILT_IN], [], "at most 40 µs", 40.0),
        Row("a storm for one PC", "frames/s", rates, [], "100,000 wanted", 90_000.0, True),
        Row("ping between two others meanwhile, p99", "ms", p99, [], "at most 20 ms", 20.0),
    ]


def _echo(effort: Effort) -> list[Row]:
    rates = []
    for _ in range(effort.rounds):
        command = [sys.executable, "-m", "bench.flood", "echo", str(effort.load_seconds)]
        rates.append(float(subprocess.run(command, cwd=TOP, capture_output=True, check=True).stdout))
    return [Row("echo between two built-in PCs", "frames/s", rates, [], "at least 80,000", 80_000.0, True)]


async def _started(lab: Lab, kind: str, count: int, **body: object) -> tuple[list[str], list[float]]:
    """New projects of at most 250 PCs, linked in pairs and started; and the seconds that each start took."""
    projects, starts = [], []
    for begin in range(0, count, 250):
        projects.append(await lab.project())
        machines = await _machines(lab, projects[-1], kind, min(250, count - begin), **body)
        requests = [encode("POST", f"{machine.path}/start", {}) for machine in machines]
        starts += [await lab.connection.timed(request, 204) for request in requests]
    return projects, starts


async def _machines(lab: Lab, project: str, kind: str, count: int, **body: object) -> list[Machine]:
    """New PCs of that engine, each two of them linked."""
    made = [await lab.machine(project, engine=kind, **body) for _ in range(count)]
    machines = [Machine(path, console, await lab.udp_port()) for path, console in made]
    for index, machine in enumerate(machines):
        other = machines[index ^ 1].lport if index ^ 1 < len(machines) else machine.lport
        await lab.connection.timed(lab.nio(machine.path, machine.lport, other), 201)
    return machines


async def _pair(lab: Lab, kind: str) -> tuple[Machine, Machine]:
    """Two started PCs that have 10.0.0.1 and 10.0.0.2."""
    one, other = await _machines(lab, await lab.project(), kind, 2)
    for machine in (one, other):
        await lab.connection.call("POST", f"{machine.path}/start", {}, 204)
    for number, machine in ((1, one), (2, other)):
        async with _console(machine) as type_:
            await type_(f"ip 10.0.0.{number}/24", rb"VPCS> $")
    return one, other


async def _times(machine: Machine) -> list[float]:
    """The milliseconds of pings from a PC to 10.0.0.2."""
    async with _console(machine) as type_:
        said = await type_(f"ping 10.0.0.2 -i 5 -c {PINGS}", rb"seq=%d .*VPCS> $" % PINGS)
    times = [float(time) for time in re.findall(rb"time=([0-9.]+) ms", said)]
    if len(times) < PINGS * 0.9:
        raise BenchError(f"of {PINGS} pings {len(times)} came back")
    return times


@asynccontextmanager
async def _console(machine: Machine) -> AsyncIterator[Callable[[str, bytes], Awaitable[bytes]]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", machine.console)

    async def type_(line: str, until: bytes) -> bytes:
        """What is printed after `line` was typed, until it matches."""
        writer.write(line.encode() + b"\r\n")
        said = b""
        async with asyncio.timeout(60):
            while not re.search(until, said, re.DOTALL) or line.encode() not in said:
                said += await reader.read(65536)
        return said

    try:
        yield type_
    finally:
        writer.close()


def _engine(server: Server) -> Server:
    """The engine of that server."""
    for one in server.emulators():
        if "labplane_engine" in one.cmdline():
            return Server(one.pid, 0, 0.0)
    raise BenchError("the engine does not run")


async def _share(server: Server, seconds: float) -> float:
    """Per cent of a processor that the server and its engine take together, once all has settled."""
    both = (server, _engine(server))
    await asyncio.sleep(5)  # until the PCs have looked for routers in vain
    before, began = sum(one.cpu_seconds() for one in both), time.perf_counter()
    await asyncio.sleep(seconds)
    return (sum(one.cpu_seconds() for one in both) - before) / (time.perf_counter() - began) * 100
