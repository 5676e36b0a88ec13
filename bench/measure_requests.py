"""Requests that start nothing: how fast they are beside a POST or GET that the bare Starlette answers."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench import floor
from bench.client import Connection, encode
from bench.effort import Effort
from bench.lab import Lab
from bench.servers import Server, both
from bench.table import Row

CONNECTIONS = 16
VMS_A_PROJECT = 250  # one byte of a MAC address tells the VPCS of a project apart
BLOCK = 50
EDGE = 250


async def version(effort: Effort) -> list[Row]:
    """GET /v1/version over 16 connections that are never idle."""
    ours, bare = [], []
    with both() as (labplane, starlette):
        for server in (labplane, starlette):
            await load(server, effort.load_seconds / 2)
        for _ in range(effort.rounds):
            bare.append(await load(starlette, effort.load_seconds))
            ours.append(await load(labplane, effort.load_seconds))
    goal = "at least 0.7 of the floor's"
    return [Row(f"GET version, {CONNECTIONS} connections", "requests/s", ours, bare, goal, 0.7, least=True)]


async def create(effort: Effort) -> list[Row]:
    """POST …/vpcs/vms, in blocks that alternate with the floor's; with a new server for each round, since large labs
    are created on new servers."""
    request = encode("POST", floor.VMS, {"name": "PC"})
    rounds = []
    for _ in range(effort.rounds):
        async with _sides() as (lab, bare):
            projects = [await lab.project() for _ in range(-(-effort.vms // VMS_A_PROJECT))]
            requests = [
                encode("POST", f"{projects[n // VMS_A_PROJECT]}/vpcs/vms", {"name": "PC"}) for n in range(effort.vms)
            ]
            rounds.append(await _alternate(lab.connection, requests, bare, [request]))
    return [
        _against_floor("create a VM, p50", rounds, 3.0),
        Row(f"the slowest of {effort.vms}", "ms", [max(ours) * 1000 for ours, _ in rounds], [], "at most 10 ms", 10),
        _growth(f"the last {EDGE} of {effort.vms} VMs, beside the first {EDGE}", rounds),
    ]


async def udp(effort: Effort) -> list[Row]:
    """POST /v1/ports/udp; a port that nobody claims stays reserved, hence a new server for each round."""
    request = encode("POST", "/v1/ports/udp", {})
    rounds = []
    for _ in range(effort.rounds):
        async with _sides() as (lab, bare):
            rounds.append(await _alternate(lab.connection, [request] * effort.udp_ports, bare, [request]))
    return [
        _against_floor("allocate a UDP port, p50", rounds, 1.5),
        _growth(f"the last {EDGE} of {effort.udp_ports} ports, beside the first {EDGE}", rounds),
    ]


async def link(effort: Effort) -> list[Row]:
    """Two NIO POSTs, one at each end."""
    request = encode("POST", floor.NIO_PATH, {"lport": 1, "rport": 2, "rhost": "127.0.0.1", "type": "nio_udp"})
    rounds = []
    async with _sides() as (lab, bare):
        for _ in range(effort.rounds):
            project = await lab.project()
            requests = []
            for _ in range(effort.pairs):
                vms = [await lab.vm(project) for _ in range(2)]
                ports = [await lab.udp_port() for _ in range(2)]
                requests += [lab.nio(vms[0], ports[0], ports[1]), lab.nio(vms[1], ports[1], ports[0])]
            rounds.append(await _alternate(lab.connection, requests, bare, [request]))
            await lab.delete(project)
    pairs = [tuple([a + b for a, b in zip(side[::2], side[1::2], strict=True)] for side in sides) for sides in rounds]
    return [_against_floor("link a pair, p50", [(ours, bare) for ours, bare in pairs], 3.0)]


Times = tuple[Sequence[float], Sequence[float]]


@asynccontextmanager
async def _sides() -> AsyncIterator[tuple[Lab, Connection]]:
    """A lab and a connection to the floor, both warm."""
    with both() as (labplane, starlette):
        lab, bare = await Lab.of(labplane), await Connection.to(starlette.port)
        project = await lab.project()
        for _ in range(20):
            await lab.vm(project)
            await bare.timed(encode("POST", floor.VMS, {"name": "PC"}), 201)
        await lab.delete(project)
        yield lab, bare


async def _alternate(ours: Connection, requests: Sequence[bytes], bare: Connection, simple: Sequence[bytes]) -> Times:
    """The seconds that each of `requests` took, and as many of `simple`, in turns of a block each."""
    times: tuple[list[float], list[float]] = [], []
    for begin in range(0, len(requests), BLOCK):
        block = requests[begin : begin + BLOCK]
        times[1].extend([await bare.timed(simple[0], 201) for _ in block])
        times[0].extend([await ours.timed(request, 201) for request in block])
    return times


async def load(server: Server, seconds: float, headers: str = "") -> float:
    """Answers per second to GET /v1/version; headers: more of them, each with its line end."""
    request = encode("GET", "/v1/version", headers=headers)
    connections = [await Connection.to(server.port) for _ in range(CONNECTIONS)]
    answers = 0
    begin = time.perf_counter()
    end = begin + seconds

    async def press(connection: Connection) -> None:
        nonlocal answers
        while time.perf_counter() < end:
            await connection.request(request)
            answers += 1

    await asyncio.gather(*(press(connection) for connection in connections))
    took = time.perf_counter() - begin
    for connection in connections:
        connection.close()
    return answers / took


def _against_floor(what: str, rounds: Sequence[Times], limit: float) -> Row:
    ours, bare = zip(*([statistics.median(side) * 1000 for side in sides] for sides in rounds), strict=True)
    return Row(what, "ms", ours, bare, f"at most {limit:g} x the floor's POST", limit)


def _growth(what: str, rounds: Sequence[Times]) -> Row:
    """Both columns are labplane's, in POSTs of the floor at the same time: the end first, then the beginning."""
    last = [statistics.median(ours[-EDGE:]) / statistics.median(bare[-EDGE:]) for ours, bare in rounds]
    first = [statistics.median(ours[:EDGE]) / statistics.median(bare[:EDGE]) for ours, bare in rounds]
    return Row(what, "POSTs", last, first, "the same (up to 1.1)", 1.1)
