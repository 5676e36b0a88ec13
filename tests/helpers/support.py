"""What tests share: the kit's server in a process of its own, which knows here what a VPCS is."""

from typing import Any

import httpx2

from labplane.testing.server import (
    DEADLINE as DEADLINE,
    Server as AnyServer,
    free_range as free_range,
    port_is_free as port_is_free,
    until as until,
)
from labplane.testing.viewer import Viewer as Viewer

PROGRAM = "vpcs"  # the engine of VPCS that is a program of the host, a process for each VM


class Server(AnyServer):
    """A running ``labplane serve`` whose VMs are programs, VPCS, unless said otherwise."""

    def vm(self, project: str, name: str = "PC", kind: str = "vpcs", **body: Any) -> str:
        """The path of a new VM of that project."""
        if kind == "vpcs":
            body = {"engine": PROGRAM, **body}
        reply = self.http.post(f"{project}/{kind}/vms", json={"name": name, **body})
        assert reply.status_code == 201, reply.text
        return f"{project}/{kind}/vms/{reply.json()['vm_id']}"

    def link(self, vm: str, lport: int, rport: int, rhost: str = "127.0.0.1") -> httpx2.Response:
        """Plug a UDP link into the VM's only port."""
        nio = {"type": "nio_udp", "lport": lport, "rport": rport, "rhost": rhost}
        return self.http.post(f"{vm}/adapters/0/ports/0/nio", json=nio)

    def linked_pair(self, project: str) -> tuple[str, str]:
        """Two VPCS, linked to each other, not started."""
        one, two = self.vm(project, "PC1"), self.vm(project, "PC2")
        ports = [self.http.post(f"{project}/ports/udp").json()["udp_port"] for _ in range(2)]
        for vm, lport, rport in ((one, ports[0], ports[1]), (two, ports[1], ports[0])):
            assert self.link(vm, lport, rport).status_code == 201
        return one, two


running = Server.running
