"""A model of what a server has acknowledged, and clients whose every request it knows: what must survive a kill.

Each client has projects and VMs of its own and sends one request after the other. When the server dies, the one that
had no reply is in doubt: it may have come to pass or not. Everything else must be as it was acknowledged.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2

from labplane.testing.host import udp_ports
from lives import Lives, Process
from support import PROGRAM

PROJECTS, VMS = 2, 4  # of each client, at most
SECONDS = 60.0  # for one request
NIO = "adapters/0/ports/0/nio"


class Died(Exception):
    """The server has died while a request was under way."""


class Refused(Exception):
    """A start was refused since another program has the UDP port."""


@dataclass
class Machine:
    """A VM; process: what runs it, None when it is stopped."""

    id: str
    name: str
    script: str | None = None
    console: int = 0
    nio: dict[str, Any] | None = None
    process: Process | None = None


@dataclass
class Place:
    """A project; ports: UDP ports that were asked for and are in no NIO."""

    id: str
    name: str
    temporary: bool = False
    open: bool = True
    machines: dict[str, Machine] = field(default_factory=dict)
    ports: set[int] = field(default_factory=set)

    @property
    def path(self) -> str:
        return f"/v1/projects/{self.id}"

    def vm(self, machine: Machine) -> str:
        return f"{self.path}/vpcs/vms/{machine.id}"


@dataclass
class Doubt:
    """A request that had no reply: its action, on which project and VM, and what it was to change."""

    action: str
    place: Place
    machine: Machine | None = None
    change: Any = None


@dataclass
class Seen:
    """A server as it shows itself: projects by id, their VMs by id, NIOs of VMs by id, ports, processes by VM."""

    projects: dict[str, Any]
    machines: dict[str, dict[str, Any]]
    nios: dict[str, Any]
    consoles: set[int]
    udp: set[int]
    processes: dict[str, list[Process]]

    @classmethod
    def at(cls, lives: Lives, without: Collection[str] = ()) -> "Seen":
        """All of the server but the projects `without`."""
        http = lives.server.http
        projects = {one["project_id"]: one for one in http.get("/v1/projects").json()}
        machines = {
            project: {vm["vm_id"]: vm for vm in http.get(f"/v1/projects/{project}/vpcs/vms").json()}
            for project in projects
        }
        nios: dict[str, Any] = {}
        for project, vms in machines.items():
            for vm in vms:
                reply = http.get(f"/v1/projects/{project}/vpcs/vms/{vm}/{NIO}")
                assert reply.status_code in (200, 404), reply.text
                nios[vm] = reply.json() if reply.status_code == 200 else None
        ports = http.get("/v1/status").json()["ports"]
        consoles, udp = (set(ports[pool]["used"]) for pool in ("console", "udp"))
        processes = lives.machines()
        for project in without:
            projects.pop(project, None)
            for vm, shown in machines.pop(project, {}).items():
                consoles.discard(shown["console"])
                udp.discard((nios.pop(vm) or {}).get("lport"))
                processes.pop(vm, None)
        return cls(projects, machines, nios, consoles, udp, processes)


class Client:
    """One client: a random sequence of requests, and the model of what came of them.

    complaints: sentences about replies that must not be.
    """

    def __init__(self, lives: Lives, seed: int, number: int) -> None:
        self._lives = lives
        self._random = random.Random(seed * 1000 + number)  # noqa: S311 - the same each time is what it is for
        self._number = number
        self._count = 0
        self.places: dict[str, Place] = {}
        self.doubt: Doubt | None = None
        self.complaints: list[str] = []
        self.replies = 0
        self.http: httpx2.AsyncClient

    async def run(self, http: httpx2.AsyncClient, enough: Callable[[], bool]) -> None:
        """Send requests until the server dies or `enough` says so."""
        self.http = http
        try:
            while not enough():
                await self._next()()
        except Died:
            pass

    def has_done(self, replies: int) -> bool:
        """Whether that many replies came, or one that must not be."""
        return self.replies >= replies or bool(self.complaints)

    def _next(self) -> Callable[[], Awaitable[None]]:
        places = [place for place in self.places.values() if place.open]
        if not places or (len(self.places) < PROJECTS and self._random.random() < 0.2):
            return self._open_project
        operations: list[Callable[[], Awaitable[None]]] = [
            *[self._create] * 6,
            *[self._start] * 8,
            *[self._link] * 6,
            *[self._change] * 4,
            *[self._stop] * 3,
            *[self._reload] * 2,
            *[self._unlink] * 2,
            *[self._delete] * 2,
            *[self._rename] * 2,
            self._commit,
            self._close,
            *[self._reopen] * 3,
            self._remove,
        ]
        return self._random.choice(operations)

    async def ask(self, method: str, path: str, *statuses: int, **body: Any) -> Any:
        """The JSON of the reply, None when it has no body. Raises Died when there is no reply."""
        try:
            reply = await self.http.request(method, path, json=body)
        except httpx2.HTTPError as error:
            if not isinstance(error, httpx2.TimeoutException):
                raise Died from None
            self.complaints.append(f"{method} {path} had no reply within {SECONDS} seconds")
            raise Died from None
        self.replies += 1
        if reply.status_code == 409 and "is in use by another program" in reply.text:
            self.doubt = None
            raise Refused(f"{method} {path}: {reply.text}")
        if reply.status_code not in statuses:
            self.complaints.append(f"{method} {path} {body}: {reply.status_code} {reply.text[:300]}")
        return reply.json() if reply.content and reply.status_code < 300 else None

    async def doing(self, doubt: Doubt, method: str, path: str, status: int, **body: Any) -> Any:
        """As `ask`, with `doubt` until there is a reply."""
        self.doubt = doubt
        reply = await self.ask(method, path, status, **body)
        self.doubt = None
        return reply

    def _id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _name(self) -> str:
        self._count += 1
        return f"c{self._number} n{self._count}"

    def _place(self) -> Place:
        return self._random.choice([place for place in self.places.values() if place.open])

    def _machine(self, wanted: Callable[[Machine], bool] = lambda _: True) -> tuple[Place, Machine] | None:
        place = self._place()
        found = [machine for machine in place.machines.values() if wanted(machine)]
        return (place, self._random.choice(found)) if found else None

    async def _open_project(self) -> None:
        place = Place(self._id(), self._name(), temporary=self._random.random() < 0.2)
        body = {"project_id": place.id, "name": place.name, "temporary": place.temporary}
        await self.doing(Doubt("open", place), "POST", "/v1/projects", 201, **body)
        self.places[place.id] = place

    async def _rename(self) -> None:
        place, name = self._place(), self._name()
        await self.doing(Doubt("rename", place, change=name), "PUT", place.path, 200, name=name)
        place.name = name

    async def _close(self) -> None:
        place = self._place()
        await self.doing(Doubt("close", place), "POST", f"{place.path}/close", 204)
        self.closed(place)

    def closed(self, place: Place) -> None:
        """Take note that the project is closed: its VMs are stopped and kept, unless it was temporary."""
        place.open = False
        place.ports.clear()
        for machine in place.machines.values():
            machine.process = None
        if place.temporary:
            del self.places[place.id]

    async def _reopen(self) -> None:
        closed = [place for place in self.places.values() if not place.open]
        if not closed:
            return
        place = self._random.choice(closed)
        body = {"project_id": place.id, "name": place.name}
        doubt = Doubt("reopen", place)
        await self.doing(doubt, "POST", "/v1/projects", 201, **body)
        self.doubt = doubt
        place.open = True
        await self.read(place)
        self.doubt = None

    async def read(self, place: Place) -> None:
        """Look at the VMs of a project that was opened again: ports that others have got meanwhile are new ones."""
        seen = {vm["vm_id"]: vm for vm in await self.ask("GET", f"{place.path}/vpcs/vms", 200)}
        nios: dict[str, Any] = {}
        for machine in place.machines.values():
            if machine.id not in seen:
                self.complaints.append(f"{machine} is lost in the project {place.id}, which was opened again")
            else:
                machine.console = seen[machine.id]["console"]
                nios[machine.id] = await self.ask("GET", f"{place.vm(machine)}/{NIO}", 200, 404)
        self.complaints += rewired(place, nios)

    async def _remove(self) -> None:
        place = self._place()
        await self.doing(Doubt("remove", place), "DELETE", place.path, 204)
        del self.places[place.id]

    async def _commit(self) -> None:
        place = self._place()
        await self.doing(Doubt("commit", place), "POST", f"{place.path}/commit", 204)

    async def _create(self) -> None:
        place = self._place()
        if len(place.machines) >= VMS:
            return
        machine = Machine(self._id(), self._name())
        if self._random.random() < 0.5:
            machine.script = f"# {machine.name}\n"
        body = {"vm_id": machine.id, "name": machine.name, "engine": PROGRAM, "startup_script": machine.script}
        doubt = Doubt("create", place, machine)
        made = await self.doing(doubt, "POST", f"{place.path}/vpcs/vms", 201, **body)
        if made is not None:
            machine.console = made["console"]
            place.machines[machine.id] = machine

    async def _change(self) -> None:
        if (found := self._machine()) is None:
            return
        place, machine = found
        change = {"name": self._name(), "startup_script": f"# {self._count}\n"}
        if await self.doing(Doubt("change", place, machine, change), "PUT", place.vm(machine), 200, **change):
            machine.name, machine.script = change["name"], change["startup_script"]

    async def _delete(self) -> None:
        if (found := self._machine()) is None:
            return
        place, machine = found
        await self.doing(Doubt("delete", place, machine), "DELETE", place.vm(machine), 204)
        del place.machines[machine.id]

    async def _link(self) -> None:
        if (found := self._machine(lambda machine: machine.process is None)) is None:
            return
        place, machine = found
        leased = await self.doing(Doubt("lease", place), "POST", f"{place.path}/ports/udp", 201)
        if leased is None:
            return
        place.ports.add(leased["udp_port"])
        others = [other.nio["lport"] for other in place.machines.values() if other is not machine and other.nio]
        rport = self._random.choice(others) if others else 9
        nio = {"type": "nio_udp", "lport": leased["udp_port"], "rhost": "127.0.0.1", "rport": rport}
        if await self.doing(Doubt("link", place, machine, nio), "POST", f"{place.vm(machine)}/{NIO}", 201, **nio):
            place.ports.discard(nio["lport"])
            machine.nio = nio

    async def _unlink(self) -> None:
        if (found := self._machine(lambda machine: machine.nio is not None and machine.process is None)) is None:
            return
        place, machine = found
        await self.doing(Doubt("unlink", place, machine), "DELETE", f"{place.vm(machine)}/{NIO}", 204)
        machine.nio = None

    async def _start(self) -> None:
        if (found := self._machine(lambda machine: machine.nio is not None)) is None:
            return
        place, machine = found
        await self._act("start", place, machine)

    async def _reload(self) -> None:
        if (found := self._machine(lambda machine: machine.nio is not None)) is None:
            return
        place, machine = found
        await self._act("reload", place, machine)

    async def _stop(self) -> None:
        if (found := self._machine()) is None:
            return
        place, machine = found
        await self._act("stop", place, machine)

    async def _act(self, action: str, place: Place, machine: Machine) -> None:
        before, was_relay = machine.process, self._is_relay(machine.nio)
        try:
            await self.doing(Doubt(action, place, machine), "POST", f"{place.vm(machine)}/{action}", 204)
        except Refused as refusal:
            # A VPCS that was started just before a kill may have taken the port nine above its own, for no server
            # was there to guard it.
            if not (was_relay or self._is_relay(machine.nio)):  # it may have ended meanwhile
                self.complaints.append(str(refusal))
            machine.process = before = None
            action = "stop"
        found = self._lives.machines().get(machine.id, [])
        wanted = 0 if action == "stop" else 1
        if len(found) != wanted:
            self.complaints.append(f"{machine} has the processes {found} after its {action}")
        machine.process = found[0] if found else None
        if action == "start" and before is not None and machine.process != before:
            self.complaints.append(f"{machine} was started twice")
        if action == "reload" and before is not None and machine.process == before:
            self.complaints.append(f"{machine} was not reloaded")

    def _is_relay(self, nio: dict[str, Any] | None) -> bool:
        """Whether the `lport` is the relay socket of another machine."""
        if nio is None:
            return False
        pair = {nio["lport"], nio["lport"] - 9}
        processes = [process for found in self._lives.machines().values() for process in found]
        return any(pair <= udp_ports(process.pid, connected=False) for process in processes)  # some may have ended


def rewired(place: Place, nios: Mapping[str, Any]) -> list[str]:
    """Take over the NIOs, by VM, of a project that was opened again; sentences about those that lead elsewhere now.

    A UDP port that others have got meanwhile is another one now, at both ends of a link within the project.
    """
    found: list[str] = []
    moved: dict[int, int] = {}
    for machine in place.machines.values():
        if machine.nio is not None and (nio := nios.get(machine.id)) is not None:
            moved[machine.nio["lport"]] = nio["lport"]
    for machine in place.machines.values():
        was, now = machine.nio, nios.get(machine.id)
        if was is None or now is None:
            if was is not now:
                found.append(f"{machine} has the NIO {now} in the project {place.id}, which was opened again")
        elif now["rport"] != moved.get(was["rport"], was["rport"]):
            found.append(f"{machine} leads to {now['rport']} in the project {place.id}, which was opened again")
        machine.nio = now
    return found
