"""A VPCS that got its port and was too slow to bind it is started anew, and nobody notices (Q-5, B-12)."""

import socket
from pathlib import Path
from typing import Any

import pytest

from host import runs, udp_ports_of
from inprocess import own, serving
from labplane_vpcs.driver import VPCSDriver
from labplane_vpcs.relay import Binding, Overtaken
from support import free_range


@pytest.mark.parametrize("times", [1, 3])
def test_an_overtaken_launch_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The moment itself cannot be had at will, so the answer to "is it up?" is what is made up here."""
    until_up = VPCSDriver._until_up
    pids: list[int] = []

    async def too_slow(self: VPCSDriver, vm: Any, session: Any, lport: int | None, binding: Binding) -> None:
        pids.append(session.process.pid)
        if len(pids) <= times:
            raise Overtaken("Too slow.")
        await until_up(self, vm, session, lport, binding)

    monkeypatch.setattr(VPCSDriver, "_until_up", too_slow)
    vpcs = [candidate for candidate in own() if candidate.name == "vpcs"]
    with serving(tmp_path, vpcs) as served:
        lport = int(free_range(10, socket.SOCK_DGRAM).split("-")[0])
        vm = served.vm(served.project(), "vpcs", engine="vpcs")
        nio = {"type": "nio_udp", "lport": lport, "rport": 9, "rhost": "127.0.0.1"}
        assert served.http.post(f"{vm}/adapters/0/ports/0/nio", json=nio).status_code == 201
        assert served.http.post(f"{vm}/start").status_code == 204
        assert len(pids) == times + 1
        assert [runs(pid) for pid in pids] == [False] * times + [True]
        assert udp_ports_of(pids[-1]) == {lport}
        assert served.http.get(vm).json()["status"] == "started"
        assert served.http.post(f"{vm}/stop").status_code == 204
        assert not runs(pids[-1])
