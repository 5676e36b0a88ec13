"""A stranger that takes the lport of a VPCS in the moment when it is handed over (S-3, B-10, B-12)."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host import udp_ports_of
from inprocess import Served, own, serving
from labplane_vpcs.sockets import has_udp_port
from support import free_range


def stealing(method: Callable[..., Any], number: int, thieves: list[socket.socket], *, before: bool) -> Any:
    """`method`, and a socket of a stranger that is bound to `number` right before or after it."""

    def steal() -> None:
        thieves.append(thief := socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        thief.bind(("127.0.0.1", number))

    def stolen(*arguments: Any, **keywords: Any) -> Any:
        if before:
            steal()
        result = method(*arguments, **keywords)
        if not before:
            steal()
        return result

    return stolen


def linked(served: Served, lport: int) -> str:
    vm = served.vm(served.project(), "vpcs", engine="vpcs")
    nio = {"type": "nio_udp", "lport": lport, "rport": 9, "rhost": "127.0.0.1"}
    assert served.http.post(f"{vm}/adapters/0/ports/0/nio", json=nio).status_code == 201
    return vm


@pytest.mark.parametrize(
    ("who", "what", "before", "words"),
    [
        ("udp", "lend", False, "in use by another program; link it with another lport"),
        ("terminals", "spawn", True, "could not open its UDP port"),
    ],
)
@pytest.mark.parametrize("action", ["start", "reload"])
def test_a_stranger_in_between_is_told_and_nothing_is_wired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, what: str, before: bool, words: str, action: str
) -> None:
    vpcs = [candidate for candidate in own() if candidate.name == "vpcs"]
    with serving(tmp_path, vpcs) as served:
        lport = int(free_range(10, socket.SOCK_DGRAM).split("-")[0])
        thieves: list[socket.socket] = []
        vm = linked(served, lport)
        part = getattr(served.lab, who)
        with monkeypatch.context() as patch:
            patch.setattr(part, what, stealing(getattr(part, what), lport, thieves, before=before))
            reply = served.http.post(f"{vm}/{action}")
        assert (reply.status_code, words in reply.json()["message"]) == (409, True), reply.text
        assert served.http.get(vm).json()["status"] == "stopped"
        (thief,) = thieves
        assert thief.getsockname() == ("127.0.0.1", lport)
        thief.close()
        assert served.http.post(f"{vm}/{action}").status_code == 204
        (running,) = served.lab.terminals._running
        assert udp_ports_of(running.pid) == {lport}
        assert has_udp_port(running.pid, lport)
