"""Far ends of links to switches, in the test itself, and what is done to switches."""

import socket
from typing import Any

from support import DEADLINE, Server

A, B, C = (bytes.fromhex(f"0050796668{number:02x}") for number in range(3))
BROADCAST = b"\xff" * 6
TYPE = b"\x08\x00"


class PC:
    """The far end of a link, in the test itself, with the port of the near one."""

    def __init__(self, server: Server, project: str) -> None:
        self.lport = udp_port(server, project)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.bind(("127.0.0.1", 0))
        self.rport = self.socket.getsockname()[1]

    def send(self, frame: bytes) -> None:
        self.socket.sendto(frame, ("127.0.0.1", self.lport))

    def hears(self) -> bytes:
        return self.socket.recv(2000)

    def hears_nothing(self) -> bool:
        """To be asked when what was sent later has arrived elsewhere."""
        self.socket.settimeout(0)
        try:
            self.socket.recv(2000)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(DEADLINE)
        return False


def udp_port(server: Server, project: str) -> int:
    return int(server.http.post(f"{project}/ports/udp").json()["udp_port"])


def plug(server: Server, switch: str, port: int, lport: int, rport: int, rhost: str = "127.0.0.1") -> Any:
    nio = {"type": "nio_udp", "lport": lport, "rhost": rhost, "rport": rport}
    return server.http.post(f"{switch}/adapters/0/ports/{port}/nio", json=nio)


def join(server: Server, switch: str, port: int, pc: PC) -> None:
    assert plug(server, switch, port, pc.lport, pc.rport).status_code == 201


def unplug(server: Server, switch: str, port: int) -> None:
    assert server.http.delete(f"{switch}/adapters/0/ports/{port}/nio").status_code == 204


def do(server: Server, vm: str, action: str) -> None:
    reply = server.http.post(f"{vm}/{action}")
    assert reply.status_code == 204, reply.text


def counters(server: Server, switch: str) -> list[tuple[int, ...]]:
    """Of each port: frames and bytes in, frames and bytes out, dropped."""
    names = ("frames_in", "bytes_in", "frames_out", "bytes_out", "dropped")
    return [tuple(one[name] for name in names) for one in server.http.get(switch).json()["counters"]]
