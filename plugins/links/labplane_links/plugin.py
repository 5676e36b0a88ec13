"""The links plugin: its routes, and links that are made and undone as a whole."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.responses import Response

from labplane import (
    VM,
    BadRequest,
    Conflict,
    Lab,
    NotFound,
    Plugin,
    Request,
    Route,
    Schema,
    hook,
    plug,
    unplug,
)
from labplane_links.consoles import Typist
from labplane_links.drawing import EndOf, link_object, link_text, node_text, topology_text
from labplane_links.layout import PLACE, UNPLACED, Layout
from labplane_links.wiring import End, Link, Port, PortNames, ends_of, links_between, ports_of_link

LOOPBACK = "127.0.0.1"
NUMBER: Schema = {"type": "integer", "minimum": 0}
TEXT: Schema = {"type": "string"}
ID: Schema = {"$ref": "labplane:UUID"}
LAST_EXIT: Mapping[str, Schema] = {
    "status": {"type": ["integer", "null"], "description": "negative: the signal; null: nobody saw it"},
    "last_line": TEXT,
}


def _object(properties: Mapping[str, Schema], *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


class Links(Plugin):
    """Topology, links, and lines at consoles: section 19 of docs/api.md."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._layout = Layout(lab, self.store)
        self._typist = Typist()
        self._names = PortNames()

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        end = _object({"vm_id": ID, "adapter": NUMBER, "port": NUMBER, "name": TEXT})
        link = {"link_id": ID, "ends": {"type": "array", "items": end}, "leads_to": {"type": ["string", "null"]}}
        port = {"adapter": NUMBER, "port": NUMBER, "name": TEXT, "link_id": {"$ref": "labplane:UUIDOrNull"}}
        restart: Schema = {"type": "array", "items": ID, "description": "VMs that have to be restarted for it"}
        node = {
            "vm_id": ID,
            "name": {"$ref": "labplane:Name"},
            "kind": TEXT,
            "status": {"enum": ["stopped", "started", "suspended"]},
            "console": {"$ref": "labplane:PortNumberOrNull"},
            "last_exit": {"anyOf": [_object(LAST_EXIT), {"type": "null"}]},
            **PLACE,
            "ports": {"type": "array", "items": _object(port)},
        }
        return {
            "LinksTopology": _object(
                {
                    "project_id": ID,
                    "nodes": {"type": "array", "items": _object(node)},
                    "links": {"type": "array", "items": _object(link)},
                }
            ),
            "LinksPlaces": _object({"nodes": {"type": "array", "items": _object({"vm_id": ID, **PLACE}, *PLACE)}}),
            "LinksCreate": _object(
                {
                    "ends": {
                        "type": "array",
                        "minItems": 2,
                        "maxItems": 2,
                        "items": _object(
                            {"vm_id": ID, "adapter": NUMBER, "port": NUMBER, "name": {"type": "string"}},
                            *("adapter", "port", "name"),
                        ),
                    }
                }
            ),
            "LinksLink": _object({**link, "restart": restart}),
            "LinksUndone": _object({"restart": restart}),
            "LinksLine": _object(
                {
                    "line": {"type": "string", "maxLength": 1000, "pattern": "^[^\\u0000-\\u001f\\u007f]*$"},
                    "until": {"type": "string", "minLength": 1, "maxLength": 1000},
                    "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
                },
                *("until", "timeout"),
            ),
            "LinksAnswer": _object(
                {"output": TEXT, "ended_by": {"enum": ["prompt", "until", "timeout", "exit"]}},
            ),
        }

    @hook
    def routes(self) -> Iterable[Route]:
        one = "/v1/projects/{project_id}"
        return [
            Route(
                "GET",
                f"{one}/topology",
                self.topology,
                reply={"$ref": "labplane:LinksTopology"},
                summary="What is linked to what",
            ),
            Route(
                "PATCH",
                f"{one}/topology",
                self.place,
                body={"$ref": "labplane:LinksPlaces"},
                reply={"$ref": "labplane:LinksPlaces"},
                summary="Place nodes and write notes",
            ),
            Route(
                "POST",
                f"{one}/links",
                self.link,
                body={"$ref": "labplane:LinksCreate"},
                reply={"$ref": "labplane:LinksLink"},
                status=201,
                summary="Link two ports",
                refusals=(409,),
            ),
            Route(
                "DELETE",
                f"{one}/links/{{link_id}}",
                self.unlink,
                reply={"$ref": "labplane:LinksUndone"},
                summary="Unplug a link at each of its ends",
                refusals=(409,),
            ),
            Route(
                "POST",
                f"{one}/{{kind}}/vms/{{node_id}}/exec",
                self.type_line,
                body={"$ref": "labplane:LinksLine"},
                reply={"$ref": "labplane:LinksAnswer"},
                summary="Type a line at the console of a VM",
                refusals=(409,),
            ),
        ]

    async def topology(self, request: Request) -> Any:
        """K-1."""
        await self._names.learn(self._vms(request.project_id))
        vms = self._vms(request.project_id)
        places = self._layout.of(request.project_id)
        links = await links_between(ends_of(vms))
        names = {vm.id: self._names.of(vm) for vm in vms}
        link_ids: dict[str, dict[Port, str]] = {vm.id: {} for vm in vms}
        drawn = []
        for link in links:
            link_id, shown = link_text(_ends(link, names), link.leads_to)
            for end in link.ends:
                link_ids[end.vm.id][end.port] = link_id
            drawn.append(shown)
        nodes = [_node(vm, places.get(vm.id, UNPLACED), names[vm.id], link_ids[vm.id]) for vm in vms]
        text = topology_text(request.project_id, nodes, drawn)
        return Response(text, media_type="application/json", headers={"X-Content-Type-Options": "nosniff"})

    async def place(self, request: Request) -> Any:
        """K-3."""
        changes: dict[str, dict[str, Any]] = {}
        for given in request.body["nodes"]:
            vm = self._vm(request.project_id, given["vm_id"])
            changes.setdefault(vm.id, {}).update({name: given[name] for name in PLACE if name in given})
        places = await self._layout.change(request.project_id, changes)
        placed = [{"vm_id": vm_id, **place} for vm_id, place in places.items()]
        for one in placed:
            self.lab.events.emit("node.placed", one, request.project_id)
        return {"nodes": placed}

    async def link(self, request: Request) -> Any:
        """K-4."""
        given: Sequence[Mapping[str, Any]] = request.body["ends"]
        vms = [self._vm(request.project_id, end["vm_id"]) for end in given]
        async with _locked(vms):
            ports = _ports(list(zip(vms, given, strict=True)), self._names)
            for vm in vms:
                if "nio_udp" not in vm.driver.nios:
                    raise Conflict(f"{vm} takes no links by UDP; it takes {', '.join(vm.driver.nios) or 'none'}.")
            nios = self._nios(request.project_id)
            try:
                await self._plug(list(zip(vms, ports, nios, strict=True)))
            except BaseException:
                for nio in nios:
                    self.lab.udp.release(nio["lport"], self.lab.project_owner(request.project_id))
                raise
            (made,) = await links_between([End(vm, p, vm.nios[p]) for vm, p in zip(vms, ports, strict=True)])
            ends = _ends(made, {vm.id: self._names.of(vm) for vm in vms})
            return {**link_object(made.id, ends, made.leads_to), "restart": _to_restart(vms)}

    async def unlink(self, request: Request) -> Any:
        """K-6."""
        while True:
            ends = (await self._link_of(request.project_id, request.path["link_id"].lower())).ends
            vms = [end.vm for end in ends]
            async with _locked(vms):
                if any(end.vm.nios.get(end.port) is not end.nio for end in ends):
                    continue  # it has changed during the wait
                await self._unplug(ends)
                return {"restart": _to_restart(vms)}

    async def type_line(self, request: Request) -> Any:
        """K-7, K-8."""
        kind, body = request.path["kind"], request.body
        vm = self._vm(request.project_id, request.path["node_id"].lower())
        if vm.driver.kind != kind:
            raise NotFound(f"There is no {kind[:60]} VM {vm.id}; it is of kind {vm.driver.kind}.")
        answer = await self._typist.ask(vm, body["line"], body.get("until"), body.get("timeout", 30))
        return {"output": answer.output, "ended_by": answer.ended_by}

    def _vms(self, project_id: str) -> list[VM]:
        return [vm for vm in self.lab.vms.of(project_id) if vm.listed]

    def _vm(self, project_id: str, vm_id: str) -> VM:
        vm = self.lab.vms.get(vm_id.lower())
        if vm is None or vm.project_id != project_id:
            raise NotFound(f"There is no VM {vm_id[:60]} in project {project_id}.")
        return vm

    async def _link_of(self, project_id: str, link_id: str) -> Link:
        """The link of that id. Raises NotFound."""
        found = [link for link in await links_between(self._known_ends(project_id, link_id)) if link.id == link_id]
        if not found:
            found = [link for link in await links_between(ends_of(self._vms(project_id))) if link.id == link_id]
        if not found:
            raise NotFound(f"There is no link {link_id[:60]} in project {project_id}.")
        return found[0]

    def _known_ends(self, project_id: str, link_id: str) -> list[End]:
        """What is plugged where both ends of that link were; nothing when they are not known."""
        ports = [(self.lab.vms.get(vm_id), port) for vm_id, port in ports_of_link(link_id)]
        its = [(vm, port) for vm, port in ports if vm is not None and vm.listed and vm.project_id == project_id]
        ends = [End(vm, port, vm.nios[port]) for vm, port in its if port in vm.nios]
        return ends if len(ends) == 2 else []  # one end alone may be half of another link by now

    def _nios(self, project_id: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The two ends of a link, on two UDP ports that the project holds."""
        owner, udp = self.lab.project_owner(project_id), self.lab.udp
        one = udp.lease(owner)
        try:
            other = udp.lease(owner)
        except BaseException:
            udp.release(one, owner)
            raise
        return _nio(one, other), _nio(other, one)

    async def _plug(self, ends: Sequence[tuple[VM, Port, Mapping[str, Any]]]) -> None:
        """Plug in each end, or none."""
        (vm, port, nio), *others = ends
        await plug(vm, port, nio)
        if others:
            try:
                await self._plug(others)
            except BaseException:
                await unplug(vm, port)
                raise

    async def _unplug(self, ends: Sequence[End]) -> None:
        """Unplug each end, or none."""
        end, *others = ends
        await unplug(end.vm, end.port)
        if others:
            try:
                await self._unplug(others)
            except BaseException:
                await plug(end.vm, end.port, end.nio)
                raise


@asynccontextmanager
async def _locked(vms: Iterable[VM]) -> AsyncIterator[None]:
    """Hold the locks of these VMs, taken in the order in which `Lab.vms_held` takes all. Raises NotFound."""
    async with AsyncExitStack() as locks:
        for vm in sorted(set(vms), key=lambda vm: vm.id):
            await locks.enter_async_context(vm.lock)
            if vm.gone:
                raise NotFound(f"The VM {vm.id} was deleted meanwhile.")
        yield


def _ports(ends: Sequence[tuple[VM, Mapping[str, Any]]], all_names: PortNames) -> list[Port]:
    """The port of each end, by its numbers, its name, or the lowest that is free. Raises BadRequest, Conflict."""
    taken: set[tuple[VM, Port]] = set()
    ports = []
    for vm, end in ends:
        if ("adapter" in end) != ("port" in end) or ("name" in end and "port" in end):
            raise BadRequest(
                "An end has 'adapter' and 'port', or the 'name' of a port, or neither for the lowest free."
            )
        names = all_names.of(vm)
        if "port" in end:
            port = (end["adapter"], end["port"])
        elif "name" in end:
            named = [port for port, name in names.items() if name == end["name"]]
            if not named:
                raise Conflict(f"{vm} has no port {end['name'][:60]!r}; it has {', '.join(names.values()) or 'none'}.")
            port = named[0]
        else:
            free = [port for port in names if port not in vm.nios and (vm, port) not in taken]
            if not free:
                raise Conflict(f"{vm} has no free port; all {len(names)} are linked.")
            port = free[0]
        if (vm, port) in taken:
            raise BadRequest(f"A link has two ends; both are port {names.get(port, port)} of {vm}.")
        if port in vm.nios:
            raise Conflict(f"The port {names.get(port, port)} of {vm} is linked already; delete that link first.")
        taken.add((vm, port))
        ports.append(port)
    return ports


def _nio(lport: int, rport: int) -> Mapping[str, Any]:
    return {"lport": lport, "rhost": LOOPBACK, "rport": rport, "type": "nio_udp"}


def _node(vm: VM, place: Mapping[str, Any], names: Mapping[Port, str], link_ids: Mapping[Port, str]) -> str:
    ports = tuple([(port, name, link_ids.get(port)) for port, name in names.items()])
    last = None if vm.last_exit is None else (vm.last_exit["status"], vm.last_exit["last_line"])
    x, y, notes = place["x"], place["y"], place["notes"]
    return node_text(vm.id, vm.name, vm.driver.kind, vm.status, vm.console, last, x, y, notes, ports)


def _ends(link: Link, names: Mapping[str, Mapping[Port, str]]) -> tuple[EndOf, ...]:
    return tuple([(end.vm.id, *end.port, names[end.vm.id].get(end.port, "")) for end in link.ends])


def _to_restart(vms: Iterable[VM]) -> list[str]:
    """The VMs that run and take a changed link at their next start only."""
    return list(dict.fromkeys(vm.id for vm in vms if vm.status != "stopped" and not hasattr(vm.driver, "connect")))
