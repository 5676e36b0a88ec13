"""A server that nobody asks anything: how soon it is there, what it holds and what it burns."""

import time

from bench.client import Connection, encode
from bench.effort import Effort
from bench.servers import both, labplane
from bench.table import Row


async def idle(effort: Effort) -> list[Row]:
    """Memory and processor time of a server that has answered one request; and the time until it did."""
    ready = []
    for _ in range(effort.rounds):
        with labplane() as server:
            await _ask(server.port)
            ready.append(time.perf_counter() - server.began)
    with both() as (ours, bare):
        for server in (ours, bare):
            await _ask(server.port)
        time.sleep(1)
        memory, floor_memory = ours.rss(), bare.rss()
        before, began = ours.cpu_seconds(), time.perf_counter()
        time.sleep(effort.idle_seconds)
        share = (ours.cpu_seconds() - before) / (time.perf_counter() - began)
    return [
        Row(f"idle server: RSS (floor: {floor_memory:.1f} MiB)", "MiB", [memory], [], "at most 45 MiB", 45.0),
        Row(f"idle server: processor, {effort.idle_seconds:g} s", "%", [share * 100], [], "0 %, rounded", 0.5),
        Row("ready after spawn", "s", ready, [], "at most 0.5 s", 0.5),
    ]


async def _ask(port: int) -> None:
    connection = await Connection.to(port)
    await connection.timed(encode("GET", "/v1/version"), 200)
    connection.close()
