"""Bringing a lab up: what is missing is made, what differs is changed, and nothing else is touched."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labplane_client import VM, AsyncClient, ClientError
from labplane_labs import ids
from labplane_labs.labfile import LabFile, Node
from labplane_labs.problems import TooLate
from labplane_labs.wiring import Wanted, port_at, wanted_links

AT_ONCE = 16


@dataclass(frozen=True)
class Step:
    """Something that was done: what: "created", "changed", "linked", "started", …; to: a node or a link."""

    what: str
    to: str


@dataclass
class Outcome:
    """What `up` did to one lab.

    steps:    what was done, in order.
    failures: what could not be done, each a sentence.
    extra:    nodes and links that are there and not in the file.
    """

    lab: str
    project_id: str
    steps: list[Step] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)


async def up(
    client: AsyncClient,
    lab: LabFile,
    schema: Mapping[str, Any],
    *,
    name: str | None = None,
    wait: bool = False,
    deadline: float | None = None,
    prune: bool = False,
    tell: Callable[[Step], None] = lambda _: None,
) -> Outcome:
    """Bring the lab of a file up. Raises ClientError when the server is not there, TooLate after `deadline`.

    name:     of this copy of the lab; by default the file's.
    wait:     until every node that has a prompt is at it.
    deadline: in terms of `time.monotonic`.
    prune:    remove what is not in the file.
    """
    bringing = _Bringing(client, lab, schema, name or lab.name, tell)
    left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
    try:
        async with asyncio.timeout(left):
            await bringing.run(prune=prune, wait=wait)
    except TimeoutError:
        raise TooLate(f"{bringing.lab} is not up in time; {bringing.doing} was not finished.") from None
    return bringing.outcome


class _Bringing:
    def __init__(
        self, client: AsyncClient, file: LabFile, schema: Mapping[str, Any], lab: str, tell: Callable[[Step], None]
    ) -> None:
        self.lab, self.doing = lab, "the project"
        self.outcome = Outcome(lab, ids.project_id(lab))
        self._client, self._file, self._schema, self._tell = client, file, schema, tell
        self._project = self.outcome.project_id
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._vms: dict[str, VM] = {}
        self._names: dict[str, str] = {}  # of the nodes that are there, by their ids
        self._restart: set[str] = set()
        self._started: list[VM] = []

    async def run(self, *, prune: bool, wait: bool) -> None:
        self.doing = "making the nodes"
        if not await self._made_at_once():
            await self._client.create_project(name=self.lab, project_id=self._project)
        topology = await self._client.topology(self._project)
        steps = len(self.outcome.steps)
        there = {node["vm_id"]: node for node in topology["nodes"]}
        kinds = {node.kind for node in self._file.nodes.values()} & {node["kind"] for node in topology["nodes"]}
        shown = await asyncio.gather(*(self._client.vms(self._project, kind) for kind in kinds))
        known = {vm.vm_id: vm for vms in shown for vm in vms}
        await self._each(self._file.nodes.values(), lambda node: self._node(node, there, known))
        if len(self.outcome.steps) > steps:
            topology = await self._client.topology(self._project)
        self.doing = "linking"
        await self._link(topology, prune)
        await self._place(topology)
        await self._extra(topology, prune)
        self.doing = "starting"
        infrastructure = [vm for vm in self._vms.values() if vm.console is None]  # before those who talk through it
        for wave in (infrastructure, [vm for vm in self._vms.values() if vm.console is not None]):
            await self._each(wave, self._start)
        if wait:
            self.doing = "the wait for a prompt"
            await self._each([vm for vm in self._started if vm.console is not None], self._ready)

    async def _made_at_once(self) -> bool:
        """Have the server make a lab that is not there in one request; whether it did.

        A lab that cannot be made as a whole is made as far as it can be, by the requests for each of its parts.
        """
        document = self._file.document
        if document is None or any(project.project_id == self._project for project in await self._client.projects()):
            return False
        try:
            await self._client.call("POST", "/v1/labs", {**document.data, "name": self.lab})
        except ClientError as error:
            if error.status is None:
                raise
            return False
        for name in self._file.nodes:
            self._did("created", name)
        for link in self._file.links:
            self._did("linked", str(link))
        for node in self._file.nodes.values():
            if node.place:
                self._did("placed", node.name)
        return True

    async def _each(self, items: Iterable[Any], do: Callable[[Any], Awaitable[None]]) -> None:
        """Do it to each item, some at once; a refusal is a failure of that item alone."""

        async def one(item: Any) -> None:
            async with self._turns:
                try:
                    await do(item)
                except ClientError as error:
                    if error.status is None:
                        raise
                    self.outcome.failures.append(f"{getattr(item, 'name', item)}: {error.message}")

        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))

    def _did(self, what: str, to: str) -> None:
        step = Step(what, to)
        self.outcome.steps.append(step)
        self._tell(step)

    async def _node(self, node: Node, there: Mapping[str, Any], known: Mapping[str, VM]) -> None:
        vm_id = ids.vm_id(self.lab, node.name)
        vm = known.get(vm_id)
        if vm_id in there and there[vm_id]["kind"] != node.kind:
            await self._remove(there[vm_id])
            vm = None
        given = dict(node.settings) if node.console is None else {**node.settings, "console": node.console}
        if vm is None:
            self._vms[node.name] = await self._client.create_vm(
                self._project, node.kind, node.name, vm_id=vm_id, **given
            )
            self._did("created", node.name)
            return
        self._vms[node.name] = vm
        differing = {key: value for key, value in given.items() if _differs(node, value, _shown(vm, key))}
        if vm.name != node.name:
            differing["name"] = node.name
        if differing:
            if vm.status != "stopped" and self._needs(node.kind, differing) == "stopped":
                await self._client.stop(vm)
            self._vms[node.name] = vm = await self._client.update_vm(vm, **differing)
            self._did("changed", f"{node.name} ({', '.join(sorted(differing))})")
            if vm.status != "stopped" and self._needs(node.kind, differing) == "restart":
                self._restart.add(vm.vm_id)

    def _needs(self, kind: str, changes: Iterable[str]) -> str:
        """What a running VM of that kind needs for these changes: "live" for nothing, "restart" or "stopped"."""
        rules = self._schema["$defs"][f"node.{kind}"]["properties"]
        needs = {rules.get(name, {}).get("x-change", "restart") for name in changes if name not in ("name", "console")}
        return next((need for need in ("stopped", "restart") if need in needs), "live")

    async def _link(self, topology: Mapping[str, Any], prune: bool) -> None:
        nodes = {node["vm_id"]: node for node in topology["nodes"]}
        self._names = {vm_id: node["name"] for vm_id, node in nodes.items()}
        by_name = {name: nodes[vm.vm_id] for name, vm in self._vms.items() if vm.vm_id in nodes}
        wanted, complaints = wanted_links(self._file.links, by_name)
        self.outcome.failures += [sentence for _, sentence in complaints]
        at_port = {port_at(end): link for link in topology["links"] for end in link["ends"]}
        missing = [one for one in wanted if not one.is_there(at_port)]
        in_the_way = {link["link_id"]: link for one in missing for link in one.in_the_way(at_port)}
        if prune:
            named = {port for one in wanted for port in one.ports}
            in_the_way |= {
                link["link_id"]: link
                for link in topology["links"]
                if not any(port_at(end) in named for end in link["ends"])
            }
        await self._each(in_the_way.values(), self._unlink)
        await self._each(missing, self._make_link)

    async def _unlink(self, link: Mapping[str, Any]) -> None:
        done = await self._client.call("DELETE", f"/v1/projects/{self._project}/links/{link['link_id']}")
        self._restart.update(done["restart"])
        self._did("unlinked", " -- ".join(sorted(f"{self._names[end['vm_id']]}:{end['name']}" for end in link["ends"])))

    async def _make_link(self, wanted: Wanted) -> None:
        if wanted.link.nio is not None:
            (vm_id, adapter, port), vm = wanted.ports[0], self._vms[wanted.link.ends[0].node]
            await self._client.plug((vm, adapter, port), wanted.link.nio)
            if vm.status != "stopped":
                self._restart.add(vm_id)
        else:
            ends = [{"vm_id": vm_id, "adapter": adapter, "port": port} for vm_id, adapter, port in wanted.ports]
            made = await self._client.call("POST", f"/v1/projects/{self._project}/links", {"ends": ends})
            self._restart.update(made["restart"])
        self._did("linked", str(wanted.link))

    async def _place(self, topology: Mapping[str, Any]) -> None:
        places = []
        ours = {vm.vm_id for vm in self._vms.values()}
        for node in topology["nodes"]:
            wanted = self._file.nodes.get(node["name"]) if node["vm_id"] in ours else None
            if wanted is None:
                continue
            if any(node[name] != value for name, value in wanted.place.items()):
                places.append({"vm_id": node["vm_id"], **wanted.place})
        if places:
            await self._client.call("PATCH", f"/v1/projects/{self._project}/topology", {"nodes": places})
            for place in places:
                self._did("placed", self._names[place["vm_id"]])

    async def _extra(self, topology: Mapping[str, Any], prune: bool) -> None:
        ours = {vm.vm_id for vm in self._vms.values()}
        extra = [node for node in topology["nodes"] if node["vm_id"] not in ours]
        if not prune:
            self.outcome.extra += [node["name"] for node in extra]
            return

        await self._each(extra, self._remove)

    async def _remove(self, node: Mapping[str, Any]) -> None:
        await self._client.delete_vm(await self._client.vm(self._project, node["kind"], node["vm_id"]))
        self._did("removed", f"{node['name']} ({node['kind']})")

    async def _start(self, vm: VM) -> None:
        if vm.vm_id in self._restart and vm.status != "stopped":
            await self._client.stop(vm)
            await self._client.start(vm)
            self._did("restarted", vm.name)
        elif vm.status == "suspended":
            await self._client.resume(vm)
            self._did("resumed", vm.name)
        elif vm.status != "started":
            await self._client.start(vm)
            self._did("started", vm.name)
        self._started.append(vm)

    async def _ready(self, vm: VM) -> None:
        """Wait until it is up, however long that takes: the deadline is the caller's."""
        if "ready" in vm.properties:
            while not (now := await self._client.vm(self._project, vm.kind, vm.vm_id)).properties["ready"]:
                if now.status == "stopped":
                    raise ClientError(409, "It has ended before it was up; its log says why: `labplane logs`.")
                await asyncio.sleep(0.2)
            return
        try:
            await self._client.answer(vm, "", timeout=600)
        except ClientError as error:
            if "no prompt" not in error.message:
                raise


def _shown(vm: VM, key: str) -> Any:
    return vm.console if key == "console" else vm.properties.get(key)


def _differs(node: Node, wanted: Any, there: Any) -> bool:
    """Whether a setting is another; VPCS shows a script with the name in place of each %h."""
    if isinstance(wanted, str) and isinstance(there, str):
        return there not in (wanted, wanted.replace("%h", node.name))
    return bool(wanted != there)
