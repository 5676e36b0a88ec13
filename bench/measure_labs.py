"""Labs in files: bringing one up beside merely starting its VPCS, and what asking about one costs."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import raw
from bench.effort import Effort
from bench.servers import Server, labplane
from bench.table import Row
from labplane_client import AsyncClient
from labplane_labs import ids
from labplane_labs.bringing import Outcome, up
from labplane_labs.labfile import LabFile, load

ARMS = 50  # of a switch, of which a star has two
ASKED = 20


async def labs(effort: Effort) -> list[Row]:
    """A star is brought up, brought up again and asked, as often as there are rounds."""
    brought: list[float] = []
    floors: list[float] = []
    again: list[float] = []
    topologies: list[float] = []
    answers: list[float] = []
    with labplane() as server, tempfile.TemporaryDirectory() as folder:
        async with AsyncClient(f"http://127.0.0.1:{server.port}") as client:
            schema = await client.call("GET", "/v1/lab.schema.json")
            star = _star(Path(folder), schema)
            for _ in range(effort.rounds):
                floors.append(raw.start(2 * ARMS) * 1000)
                brought.append(await _timed(_up(client, star, schema)))
                again.append(await _timed(_up(client, star, schema)))
                answers.append(await _answer(client, star))
                await client.delete_project(ids.project_id(star.name))
        topologies += await _topologies(server, effort.rounds)
    beyond = [ours - floor for ours, floor in zip(brought, floors, strict=True)]
    return [
        Row(f"up: {2 * ARMS} PCs on two switches, beyond the raw starts", "ms", beyond, [], "at most 1 s", 1000.0),
        Row("up again, with nothing to do", "ms", again, [], "at most 300 ms", 300.0),
        Row("topology of 1,000 nodes and 1,000 links", "ms", topologies, [], "at most 20 ms", 20.0),
        Row("exec of a line, `show ip`", "ms", answers, [], "at most 20 ms", 20.0),
    ]


def _star(folder: Path, schema: Any) -> LabFile:
    """A hundred PCs, fifty on each of two switches that are linked."""
    nodes: dict[str, Any] = {f"sw{side}": {"kind": "switch", "ports": ARMS + 1} for side in (1, 2)}
    links: list[Any] = [["sw1", "sw2"]]
    for number in range(2 * ARMS):
        nodes[f"pc{number}"] = {"kind": "vpcs"}
        links.append([f"pc{number}", f"sw{number % 2 + 1}"])
    file = folder / "star.yaml"
    file.write_text(json.dumps({"name": "star", "nodes": nodes, "links": links}))
    return load(file, schema)


async def _up(client: AsyncClient, lab: LabFile, schema: Any) -> None:
    outcome: Outcome = await up(client, lab, schema)
    assert not outcome.failures, outcome.failures


async def _answer(client: AsyncClient, lab: LabFile) -> float:
    vm = await client.vm(ids.project_id(lab.name), "vpcs", ids.vm_id(lab.name, "pc0"))
    await client.answer(vm, "show ip")
    begun = time.perf_counter()
    for _ in range(ASKED):
        await client.answer(vm, "show ip")
    return (time.perf_counter() - begun) / ASKED * 1000


async def _topologies(server: Server, rounds: int) -> list[float]:
    """A ring of a thousand switches of two ports is looked at, over HTTP."""
    took = []
    async with AsyncClient(f"http://127.0.0.1:{server.port}") as client:
        project = await client.create_project()
        made = [await client.create_vm(project, "switch", f"sw{number}", ports=2) for number in range(1000)]
        path = f"/v1/projects/{project.project_id}"
        for one, other in zip(made, [*made[1:], made[0]], strict=True):
            ends = [{"vm_id": one.vm_id, "adapter": 0, "port": 1}, {"vm_id": other.vm_id, "adapter": 0, "port": 0}]
            await client.call("POST", f"{path}/links", {"ends": ends})
        for _ in range(rounds):
            begun = time.perf_counter()
            reply = await client.http.get(f"{path}/topology")
            took.append((time.perf_counter() - begun) * 1000)
            assert len(reply.json()["links"]) == 1000
        await client.delete_project(project)
    return took


async def _timed(work: Any) -> float:
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000
