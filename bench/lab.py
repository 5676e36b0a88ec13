"""A labplane server seen through its API: what measurements need to set a scene."""

from dataclasses import dataclass

from bench.client import Connection, encode
from bench.servers import Server


@dataclass(frozen=True)
class Machine:
    """A linked VM: its path, its console and the UDP port of its own."""

    path: str
    console: int
    lport: int


@dataclass(frozen=True)
class Lab:
    connection: Connection

    @classmethod
    async def of(cls, server: Server) -> "Lab":
        return cls(await Connection.to(server.port))

    async def project(self) -> str:
        """The path of a new project."""
        return f"/v1/projects/{(await self.connection.call('POST', '/v1/projects', {}, 201))['project_id']}"

    async def vm(self, project: str, **body: object) -> str:
        """The path of a new VPCS, a program unless said otherwise."""
        return (await self.machine(project, **body))[0]

    async def machine(self, project: str, **body: object) -> tuple[str, int]:
        """The same, with its console."""
        vm = await self.connection.call("POST", f"{project}/vpcs/vms", {"name": "PC", "engine": "vpcs", **body}, 201)
        return f"{project}/vpcs/vms/{vm['vm_id']}", int(vm["console"])

    async def udp_port(self) -> int:
        return int((await self.connection.call("POST", "/v1/ports/udp", {}, 201))["udp_port"])

    async def machines(self, project: str, count: int) -> list[Machine]:
        """New VPCS, linked, their lports one after the other."""
        machines = []
        for _ in range(count):
            (path, console), lport = await self.machine(project), await self.udp_port()
            await self.connection.timed(self.nio(path, lport, lport), 201)
            machines.append(Machine(path, console, lport))
        return machines

    def nio(self, vm: str, lport: int, rport: int, port: int = 0) -> bytes:
        """The request that links a port of `vm`."""
        nio = {"type": "nio_udp", "lport": lport, "rhost": "127.0.0.1", "rport": rport}
        return encode("POST", f"{vm}/adapters/0/ports/{port}/nio", nio)

    async def delete(self, project: str) -> None:
        """Delete the project; whatever runs in it ends."""
        await self.connection.call("DELETE", project, status=204)
