"""A storm: many clients that do everything at once to the same few projects and VMs, and what must hold all the same.

Each client has a random generator of its own, made from the seed, and VMs of its own, of which it knows what the server
has acknowledged. Projects are shared: any client may close, delete, commit or move one at any moment.
"""

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx2

from support import PROGRAM, Server

CLIENTS = 20
OPERATIONS = 15  # of each client in each round
SECONDS = 30.0  # for one request; a request that takes longer hangs
STEADY, MOVABLE = 3, 2  # projects that stay where they are, and those that clients move
CONTESTED = 4  # VM ids that all clients use
FILES = 300  # in the directory of a contested VM

REFUSED = (404, 409)


@dataclass
class Storm:
    """The state that the clients share.

    complaints: sentences about replies that must not be.
    """

    server: Server
    places: Path
    seed: int
    complaints: list[str] = field(default_factory=list)
    replies: int = 0

    def __post_init__(self) -> None:
        ids = random.Random(self.seed)  # noqa: S311 - the same each time is what it is for
        self.projects = [str(UUID(int=ids.getrandbits(128))) for _ in range(STEADY + MOVABLE)]
        self.contested = [str(UUID(int=ids.getrandbits(128))) for _ in range(CONTESTED)]
        self.clients = [Client(self, number) for number in range(CLIENTS)]

    async def round(self) -> None:
        """Let each client do its operations, all at once; then look at the whole server, which is quiet."""
        limits = httpx2.Limits(max_connections=5 * CLIENTS)
        async with httpx2.AsyncClient(
            base_url=self.server.url, timeout=SECONDS, limits=limits, trust_env=False
        ) as http:
            await asyncio.gather(*(client.run(http) for client in self.clients))
            await self._look(http)

    async def end(self) -> None:
        """Close all projects; nothing may be left then."""
        async with httpx2.AsyncClient(base_url=self.server.url, timeout=SECONDS, trust_env=False) as http:
            for project in (await http.get("/v1/projects")).json():
                reply = await http.post(f"/v1/projects/{project['project_id']}/close")
                self.expect(reply, 204)
            status = (await http.get("/v1/status")).json()
        used = {pool: ports["used"] for pool, ports in status["ports"].items()}
        # Ports of POST /v1/ports/udp belong to no project; the clients ask for none of these.
        self.hold(used == {"console": [], "udp": []}, f"ports that nobody has are still leased: {used}")
        self.hold(not self.server.children(), f"processes outlive their projects: {self.server.children()}")
        crashes = re.findall(r".*(?:Traceback|crashed| failed).*", self.server.log)
        self.hold(not crashes, f"the log has {crashes[:3]}")

    def expect(self, reply: httpx2.Response, *statuses: int) -> None:
        self.replies += 1
        request = reply.request
        text = f"{request.method} {request.url.path} {request.content[:200]!r}: {reply.status_code} {reply.text[:200]}"
        self.hold(reply.status_code in statuses, text)

    def hold(self, truth: bool, complaint: str) -> None:
        if not truth:
            self.complaints.append(complaint)

    async def _look(self, http: httpx2.AsyncClient) -> None:
        directories = {cwd for pid in self.server.children() if (cwd := _cwd(pid)) is not None}
        consoles: list[int] = []
        running = set()
        for project in (await http.get("/v1/projects")).json():
            listed = await http.get(f"/v1/projects/{project['project_id']}/vpcs/vms")
            self.expect(listed, 200)
            for vm in listed.json():
                consoles.append(vm["console"])
                place = Path(vm["vm_directory"])
                self.hold(Path(project["path"]) in place.parents, f"{place} is not in {project['path']}")
                if vm["status"] == "started":
                    running.add(str(place))
        self.hold(len(set(consoles)) == len(consoles), f"two VMs have one console: {sorted(consoles)}")
        self.hold(
            directories == running, f"programs work in {directories - running}, VMs run in {running - directories}"
        )


class Client:
    """One client: an endless sequence of requests, one after the other."""

    def __init__(self, storm: Storm, number: int) -> None:
        self._storm = storm
        self._random = random.Random(storm.seed * 1000 + number)  # noqa: S311
        self._own = str(UUID(int=self._random.getrandbits(128)))
        self._home = f"/v1/projects/{storm.projects[number % STEADY]}"
        self._number = number
        self._scripts = 0

    async def run(self, http: httpx2.AsyncClient) -> None:
        operations: list[Callable[[httpx2.AsyncClient], Awaitable[None]]] = [
            *[self._open] * 4,
            *[self._make_own_again] * 4,
            *[self._contest] * 6,
            *[self._hammer] * 6,
            *[self._act] * 6,
            *[self._commit] * 6,
            self._close,
            self._delete_project,
            *[self._move] * 2,
            self._list,
        ]
        for _ in range(OPERATIONS):
            operation = self._random.choice(operations)
            try:
                await operation(http)
            except httpx2.HTTPError as error:
                self._storm.hold(False, f"{operation.__name__}: {type(error).__name__} {error}")

    async def _open(self, http: httpx2.AsyncClient) -> None:
        project_id = self._random.choice(self._storm.projects)
        body = {"project_id": project_id, "temporary": self._random.random() < 0.2}
        # 409: the directory has files in it, or is about to be another project's.
        self._storm.expect(await http.post("/v1/projects", json=body), 201, 409)

    async def _make_own_again(self, http: httpx2.AsyncClient) -> None:
        """Delete the VM that only this client knows and create it anew: it has the new script, whoever commits.

        A project that was closed while the VM was to be deleted, and was opened again, still has the VM (M-6).
        """
        path = f"{self._home}/vpcs/vms/{self._own}"
        deleted = await http.delete(path)
        self._storm.expect(deleted, 204, 404)
        self._scripts += 1
        script = f"# {self._number} {self._scripts}\n"
        body = {"name": f"own {self._number}", "vm_id": self._own, "engine": PROGRAM, "startup_script": script}
        made = await http.post(f"{self._home}/vpcs/vms", json=body)
        self._storm.expect(made, 201, *REFUSED)
        if made.status_code != 201:
            return
        acknowledged = made.json()["startup_script"]
        if deleted.status_code == 204:
            self._storm.hold(acknowledged == script, f"{path} was made with {script!r} and has {acknowledged!r}")
        shown = await http.get(path)
        self._storm.expect(shown, 200, 404)  # 404: the project was closed meanwhile
        if shown.status_code == 200:
            found = shown.json()["startup_script"]
            self._storm.hold(found == acknowledged, f"{path} was acknowledged with {acknowledged!r} and has {found!r}")

    async def _contest(self, http: httpx2.AsyncClient) -> None:
        """Create or delete a VM whose id others use too, maybe in another project."""
        vm_id = self._random.choice(self._storm.contested)
        vms = f"/v1/projects/{self._random.choice(self._storm.projects)}/vpcs/vms"
        if self._random.random() < 0.5:
            self._storm.expect(await http.delete(f"{vms}/{vm_id}"), 204, *REFUSED)
        else:
            made = await http.post(vms, json={"name": "contested", "vm_id": vm_id, "engine": PROGRAM})
            self._storm.expect(made, 201, *REFUSED)
            if made.status_code == 201:
                fill(Path(made.json()["vm_directory"]))

    async def _hammer(self, http: httpx2.AsyncClient) -> None:
        """Delete a contested VM, then commit, move and create it at one moment, more than once and in two projects."""
        projects = self._random.sample(self._storm.projects, 2)
        vm_id = self._random.choice(self._storm.contested)
        here, there = (f"/v1/projects/{project}" for project in projects)
        self._storm.expect(await http.delete(f"{here}/vpcs/vms/{vm_id}"), 204, *REFUSED)
        body = {"name": "hammered", "vm_id": vm_id, "engine": PROGRAM}
        replies = await asyncio.gather(
            http.post(f"{here}/commit"),
            http.post(f"{there}/commit"),
            *(http.post(f"{project}/vpcs/vms", json=body) for project in (here, here, there)),
        )
        for reply in replies:
            self._storm.expect(reply, 201, 204, *REFUSED)

    async def _act(self, http: httpx2.AsyncClient) -> None:
        """Link and start a contested VM, or stop, reload, rename or unlink it."""
        project = f"/v1/projects/{self._random.choice(self._storm.projects)}"
        vm = f"{project}/vpcs/vms/{self._random.choice(self._storm.contested)}"
        nio = f"{vm}/adapters/0/ports/0/nio"
        choice = self._random.random()
        if choice < 0.5:
            port = await http.post(f"{project}/ports/udp")
            self._storm.expect(port, 201, *REFUSED)
            if port.status_code == 201:
                body = {"type": "nio_udp", "lport": port.json()["udp_port"], "rhost": "127.0.0.1", "rport": 9}
                self._storm.expect(await http.post(nio, json=body), 201, *REFUSED)
                self._storm.expect(await http.post(f"{vm}/start"), 204, *REFUSED)
        elif choice < 0.9:
            action = self._random.choice(("start", "stop", "reload"))
            self._storm.expect(await http.post(f"{vm}/{action}"), 204, *REFUSED)
        elif choice < 0.95:
            self._storm.expect(await http.put(vm, json={"name": f"by {self._number}"}), 200, *REFUSED)
        else:
            self._storm.expect(await http.delete(nio), 204, *REFUSED)

    async def _commit(self, http: httpx2.AsyncClient) -> None:
        path = f"/v1/projects/{self._random.choice(self._storm.projects)}"
        self._storm.expect(await http.post(f"{path}/commit"), 204, *REFUSED)

    async def _close(self, http: httpx2.AsyncClient) -> None:
        path = f"/v1/projects/{self._random.choice(self._storm.projects)}"
        # 409: a client has put files into the directory while it was removed.
        self._storm.expect(await http.post(f"{path}/close"), 204, *REFUSED)

    async def _delete_project(self, http: httpx2.AsyncClient) -> None:
        path = f"/v1/projects/{self._random.choice(self._storm.projects)}"
        self._storm.expect(await http.delete(path), 204, *REFUSED)

    async def _move(self, http: httpx2.AsyncClient) -> None:
        project_id = self._random.choice(self._storm.projects[STEADY:])
        place = self._storm.places / f"{project_id[:8]}-{self._random.randrange(3)}"
        self._storm.expect(await http.put(f"/v1/projects/{project_id}", json={"path": str(place)}), 200, *REFUSED)

    async def _list(self, http: httpx2.AsyncClient) -> None:
        path = f"/v1/projects/{self._random.choice(self._storm.projects)}"
        self._storm.expect(await http.get(f"{path}/vpcs/vms"), 200, 404)


def fill(directory: Path) -> None:
    """Put many files into a VM's directory, as a capture may: to remove it takes a while then."""
    with suppress(FileNotFoundError):
        for number in range(FILES):
            (directory / str(number)).touch()


def _cwd(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:  # it has just ended
        return None
