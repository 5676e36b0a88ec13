"""Links between adapters of VMs that have several."""

from collections.abc import Mapping
from typing import Any

from support import Server


def wire(server: Server, project: str, one: tuple[str, int], other: tuple[str, int]) -> list[Mapping[str, Any]]:
    """Plug a link between two adapters, each of a VM; its two NIOs."""
    ports = [server.http.post(f"{project}/ports/udp").json()["udp_port"] for _ in range(2)]
    nios: list[Mapping[str, Any]] = []
    for (vm, adapter), (lport, rport) in zip((one, other), (ports, ports[::-1]), strict=True):
        nio = {"type": "nio_udp", "lport": lport, "rport": rport, "rhost": "127.0.0.1"}
        reply = server.http.post(f"{vm}/adapters/{adapter}/ports/0/nio", json=nio)
        assert reply.status_code == 201, reply.text
        nios.append(nio)
    return nios
