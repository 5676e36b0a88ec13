"""Work that grows with what is there: each request on a server with many objects, beside one on a server with few."""

import statistics
import uuid
from collections.abc import Awaitable, Callable, Mapping

from bench.client import encode
from bench.effort import Effort
from bench.lab import Lab
from bench.servers import labplane, on_one_processor
from bench.table import Row

FEW = 10
VMS_A_PROJECT = 250
VMS_IN_ONE_PROJECT = 990  # it may have 1,000
CYCLES = 60  # of all requests, for a round
PORTS = ("10100-21099", "21100-32099")  # of the server with few and the one with many: both hold theirs
GOAL = "at most 1.2 x that with ten"
Cycle = Mapping[str, float]
Fill = Callable[[Lab, int], Awaitable[str | None]]  # gives the project of the requests; None: a new one


async def growth(effort: Effort) -> list[Row]:
    """Scenes with many projects, with many VMs in many projects and in one, and with many UDP ports."""
    rows = await _compare(effort, "projects", _projects, effort.many)
    rows += await _compare(effort, "VMs", _vms, effort.many)
    rows += await _compare(effort, "VMs in one project", _one_project, min(effort.many, VMS_IN_ONE_PROJECT))
    return rows + await _compare(effort, "UDP ports", _ports, effort.many)


async def _compare(effort: Effort, what: str, fill: Fill, count: int) -> list[Row]:
    few_ports, many_ports = PORTS
    with (
        labplane(consoles=few_ports, udp=few_ports) as few,
        labplane(consoles=many_ports, udp=many_ports) as many,
        on_one_processor(few, many),
    ):
        small, large = await Lab.of(few), await Lab.of(many)
        filled = {small: await fill(small, FEW), large: await fill(large, count)}
        for lab, home in filled.items():
            await _cycle(lab, home or await lab.project())
        rounds = [await _round(small, large, filled) for _ in range(effort.rounds)]
    return [
        Row(
            f"{name}, {count:,} {what}",
            "ms",
            [large[name] * 1000 for _, large in rounds],
            [small[name] * 1000 for small, _ in rounds],
            GOAL,
            1.2,
        )
        for name in rounds[0][0]
    ]


async def _round(small: Lab, large: Lab, filled: Mapping[Lab, str | None]) -> tuple[Cycle, Cycle]:
    """The median of each request, of both, in turns; in the filled projects, or in new ones."""
    homes = {lab: filled[lab] or await lab.project() for lab in (small, large)}
    cycles: dict[Lab, list[Cycle]] = {small: [], large: []}
    for _ in range(CYCLES):
        for lab, home in homes.items():
            cycles[lab].append(await _cycle(lab, home))
    for lab, home in homes.items():
        if filled[lab] is None:
            await lab.delete(home)
    one, other = (
        {name: statistics.median(cycle[name] for cycle in found) for name in found[0]} for found in cycles.values()
    )
    return one, other


async def _cycle(lab: Lab, home: str) -> Cycle:
    """The seconds that each request takes; what it makes in the project `home` it removes again."""
    took: dict[str, float] = {}

    async def timed(name: str, request: bytes, status: int) -> None:
        took[name] = await lab.connection.timed(request, status)

    project_id, vm_id = str(uuid.uuid4()), str(uuid.uuid4())
    project, vm = f"/v1/projects/{project_id}", f"{home}/vpcs/vms/{vm_id}"
    nio = f"{vm}/adapters/0/ports/0/nio"
    await timed("open a project", encode("POST", "/v1/projects", {"project_id": project_id}), 201)
    await timed("show a project", encode("GET", project), 200)
    await timed("rename a project", encode("PUT", project, {"name": "x"}), 200)
    await timed("commit a project", encode("POST", f"{project}/commit", {}), 204)
    await timed("close a project", encode("POST", f"{project}/close", {}), 204)
    await timed("create a VM", encode("POST", f"{home}/vpcs/vms", {"name": "PC", "vm_id": vm_id}), 201)
    await timed("show a VM", encode("GET", vm), 200)
    await timed("rename a VM", encode("PUT", vm, {"name": "PC1"}), 200)
    port = (await lab.connection.call("POST", f"{home}/ports/udp", {}, 201))["udp_port"]
    await timed("link a VM", lab.nio(vm, port, 9), 201)
    await timed("start a VM", encode("POST", f"{vm}/start", {}), 204)
    await timed("stop a VM", encode("POST", f"{vm}/stop", {}), 204)
    await timed("unlink a VM", encode("DELETE", nio), 204)
    other = await lab.vm(home, engine="builtin")
    ends = {"ends": [{"vm_id": one.rpartition("/")[2]} for one in (vm, other)]}
    took["link two VMs"], made = await lab.connection.answered(encode("POST", f"{home}/links", ends), 201)
    await timed("unlink two VMs", encode("DELETE", f"{home}/links/{made.json()['link_id']}"), 200)
    await timed("place a VM", encode("PATCH", f"{home}/topology", {"nodes": [{"vm_id": vm_id, "x": 1}]}), 200)
    await lab.connection.call("DELETE", other, status=204)
    await timed("delete a VM", encode("DELETE", vm), 204)
    await timed("ask for the version", encode("GET", "/v1/version"), 200)
    return took


async def _projects(lab: Lab, count: int) -> None:
    for _ in range(count):
        await lab.project()


async def _vms(lab: Lab, count: int) -> None:
    for number in range(count):
        if number % VMS_A_PROJECT == 0:
            project = await lab.project()
        await lab.vm(project)


async def _one_project(lab: Lab, count: int) -> str:
    project = await lab.project()
    for _ in range(count):
        await lab.vm(project, engine="builtin")
    return project


async def _ports(lab: Lab, count: int) -> None:
    for _ in range(count):
        await lab.udp_port()
