"""Making the lab of a file in the server itself: all of it, or nothing."""

import asyncio
import json
from collections.abc import Coroutine, Iterable
from itertools import islice
from typing import Any

from starlette.responses import Response

from labplane import Conflict, Lab, LabError
from labplane_labs import ids
from labplane_labs.labfile import LabFile, Node
from labplane_labs.reading import Document, Path_
from labplane_labs.wiring import Wanted, wanted_links

PROJECT = "/v1/projects/{project_id}"
AT_ONCE = 16
NIO = "/adapters/{adapter:int}/ports/{port:int}/nio"


async def make(lab: Lab, file: LabFile) -> Any:
    """Make the lab of a file that was read, and start nothing of it; its project.

    Raises LabErrors; nothing of the lab is there then.
    """
    document, project_id = file.document, ids.project_id(file.name)
    assert document is not None  # noqa: S101 - it was read
    there = [project for project in await lab.ask("GET", "/v1/projects") if project["project_id"] == project_id]
    if there or (lab.settings.projects_path / project_id).exists():
        how = "is there already" if there else "was closed, and its files were kept"
        raise Conflict(str(document.problem(["name"], f"the lab {file.name!r} {how}; give this one another name.")))
    project = await lab.ask("POST", "/v1/projects", {"name": file.name, "project_id": project_id})
    try:
        await _Making(lab, file, document, project_id).run()
    except BaseException:
        await lab.ask("DELETE", PROJECT, project_id=project_id)
        raise
    return project


class _Making:
    def __init__(self, lab: Lab, file: LabFile, document: Document, project_id: str) -> None:
        self._lab, self._file, self._document, self._project = lab, file, document, project_id

    async def run(self) -> None:
        await _some_at_once(self._node(node) for node in self._file.nodes.values())
        topology: Response = await self._ask("GET", "/topology")
        by_id = {node["vm_id"]: node for node in json.loads(bytes(topology.body))["nodes"]}
        nodes = {name: by_id[ids.vm_id(self._file.name, name)] for name in self._file.nodes}
        wanted, complaints = wanted_links(self._file.links, nodes)
        for number, sentence in complaints:
            raise Conflict(str(self._document.problem(["links", number], sentence)))
        await _some_at_once(self._link(link) for link in wanted)
        places = [
            {"vm_id": ids.vm_id(self._file.name, node.name), **node.place}
            for node in self._file.nodes.values()
            if node.place
        ]
        if places:
            await self._ask("PATCH", "/topology", {"nodes": places})

    async def _node(self, node: Node) -> None:
        console = {} if node.console is None else {"console": node.console}
        body = {"name": node.name, "vm_id": ids.vm_id(self._file.name, node.name), **node.settings, **console}
        await self._at(["nodes", node.name], "POST", f"/{node.kind}/vms", body)

    async def _link(self, wanted: Wanted) -> None:
        where: Path_ = ["links", wanted.number]
        if wanted.link.nio is None:
            ends = [{"vm_id": vm_id, "adapter": adapter, "port": port} for vm_id, adapter, port in wanted.ports]
            await self._at(where, "POST", "/links", {"ends": ends})
        else:
            ((vm_id, adapter, port),) = wanted.ports
            path = f"/{self._file.nodes[wanted.link.ends[0].node].kind}/vms/{{vm_id}}{NIO}"
            await self._at(where, "POST", path, wanted.link.nio, vm_id=vm_id, adapter=adapter, port=port)

    async def _at(self, where: Path_, method: str, path: str, body: Any, **parameters: Any) -> None:
        """Ask the lab; a refusal says at which place of the file."""
        try:
            await self._ask(method, path, body, **parameters)
        except LabError as error:
            raise type(error)(str(self._document.problem(where, str(error), key=True))) from error

    async def _ask(self, method: str, path: str, body: Any = None, **parameters: Any) -> Any:
        return await self._lab.ask(method, PROJECT + path, body, project_id=self._project, **parameters)


async def _some_at_once(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do these, a few at a time, which share a commit of the state. Raises what the first that failed has raised.

    None is left running then.
    """
    left = iter(steps)
    while few := list(islice(left, AT_ONCE)):
        for failure in await asyncio.gather(*few, return_exceptions=True):
            if failure is not None:
                raise failure
