"""The wire: frames that come back through the right port, and the sockets that a VM has at its links."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import pytest

from labplane.testing import host
from labplane.testing.far_end import FarEnd
from labplane.testing.machines import Machines, Port, nio_path
from labplane.testing.published import Published

SILENT_FOR = 1.0
BOUND_WITHIN = 3.0
NO_ANSWERS = (
    "not checked: frames. Say in `answers` which address answers ARP at which port of a VM that was started with "
    'nothing but `settings`: answers = {(0, 0): "10.0.0.1"}'
)


class Wire:
    """A VM with a far end at each of its ports.

    vm:     its path.
    ends:   the far end of each port.
    lports: the near end of each port.
    """

    def __init__(self, machines: Machines, answers: Mapping[Port, str], within: float) -> None:
        self.machines, self.answers, self.within = machines, answers, within
        self.vm = machines.create()
        self.ends = {port: FarEnd() for port in machines.ports(self.vm)}
        self.lports: dict[Port, int] = {}
        for port in self.ends:
            self.plug(port)

    def plug(self, port: Port) -> None:
        """Link `port` anew: a fresh near end, to its far end."""
        nio = {**self.machines.nio_udp(), "rport": self.ends[port].port}
        self.machines.ask("POST", nio_path(self.vm, port), 201, nio)
        self.lports[port] = nio["lport"]

    def require_answers(self, when: str) -> None:
        """Fail unless each address of `answers` answers at its port, and at no other."""
        for port, address in self.answers.items():
            assert port in self.ends, f"`answers` names {address} at port {port}, which the VM has not."
            assert self.ends[port].hears(address, self.lports[port], self.within), (
                f"{when}: nobody answered ARP for {address} at {_said(port)} within {self.within:g} s (boots_within). "
                f"Frames went to the UDP port {self.lports[port]}, answers have to come from there to the port "
                f"{self.ends[port].port}. {self.machines.news[-2000:]}"
            )
        for port, address in self.answers.items():
            for other, end in self.ends.items():
                if self.answers.get(other) != address:
                    assert not end.hears(address, self.lports[other], SILENT_FOR / len(self.ends)), (
                        f"{when}: {address} answered at {_said(other)}, and belongs to {_said(port)}"
                    )

    def require_silence(self, when: str, ports: Mapping[Port, int] | None = None) -> None:
        """Fail if anybody answers; ports: with their near ends, all as they are now by default."""
        for port, lport in (self.lports if ports is None else ports).items():
            address = self.answers.get(port)
            if address is not None:
                assert not self.ends[port].hears(address, lport, SILENT_FOR), (
                    f"{when}: {address} answered ARP at {_said(port)}, through the UDP port {lport}"
                )


class WireTests:
    """Frames come back, through the right ports, also after links have changed."""

    def test_frames_come_back_through_the_right_port(self, wire: Wire) -> None:
        wire.machines.start(wire.vm)
        wire.require_answers("after start")

    def test_frames_come_back_after_each_change_of_a_link(self, wire: Wire, published: Published) -> None:
        machines, live = wire.machines, published.rewires_live
        machines.start(wire.vm)
        wire.require_answers("after start")
        former = {port: wire.lports[port] for port in wire.answers}
        for port in wire.answers:
            machines.ask("DELETE", nio_path(wire.vm, port), 204)
        if live:
            wire.require_silence("after its link was unplugged", former)
        for port in wire.answers:
            wire.plug(port)
        if not live:
            machines.stop(wire.vm)
            machines.start(wire.vm)
        wire.require_answers("after its link was plugged in again, with another lport")
        if not former.keys() & {port for port, lport in former.items() if lport in wire.lports.values()}:
            wire.require_silence("at the lport that it has no more", former)
        for port in wire.answers:
            wire.ends[port].close()
            wire.ends[port] = FarEnd()
            nio = {"type": "nio_udp", "lport": wire.lports[port], "rhost": "127.0.0.1", "rport": wire.ends[port].port}
            machines.ask("POST", nio_path(wire.vm, port), 201, nio)
        if not live:
            machines.stop(wire.vm)
            machines.start(wire.vm)
        wire.require_answers("after its link was led to another rport")

    def test_frames_come_back_after_a_restart(self, wire: Wire, published: Published) -> None:
        machines = wire.machines
        machines.start(wire.vm)
        wire.require_answers("after start")
        machines.stop(wire.vm)
        wire.require_silence("after stop")
        machines.start(wire.vm)
        wire.require_answers("after a second start")
        if "reload" in published.actions:
            machines.ask("POST", f"{wire.vm}/reload", 204)
            wire.require_answers("after reload")

    def test_no_frame_comes_back_while_it_is_suspended(self, wire: Wire, published: Published) -> None:
        for action in ("suspend", "resume"):
            if action not in published.actions:
                pytest.skip(f"{published.kind} VMs cannot {action}")
        machines = wire.machines
        machines.start(wire.vm)
        wire.require_answers("after start")
        machines.ask("POST", f"{wire.vm}/suspend", 204)
        wire.require_silence("while it is suspended")
        machines.ask("POST", f"{wire.vm}/resume", 204)
        wire.require_answers("after resume")

    def test_a_vm_that_runs_has_its_lports_bound_and_no_former_ones(
        self, machines: Machines, published: Published
    ) -> None:
        if "nio_udp" not in published.nio_types:
            pytest.skip(f"{published.kind} VMs take no nio_udp")
        before = machines.server.processes().keys()
        vm = machines.create()
        lports = machines.link(vm)
        if not lports:
            pytest.skip(f"{published.kind} VMs have no port")
        machines.start(vm)
        machines.stays(vm, "started")
        bound = _bound(machines, before, set(lports.values()))
        if not bound & set(lports.values()):
            pytest.skip(
                f"not checked: links. Nothing of the VM has bound its lports {sorted(lports.values())}. If its VMs "
                "have no links, the driver says so with `nios = {}`; if they have, none of them works."
            )
        for port, lport in lports.items():
            assert lport in bound, f"nothing of the VM has bound {lport}, the lport of {_said(port)}; bound are {bound}"
        port, former = next(iter(lports.items()))
        machines.ask("POST", nio_path(vm, port), 201, nio := machines.nio_udp())
        if not published.rewires_live:
            machines.stop(vm)
            machines.start(vm)
        bound = _bound(machines, before, {nio["lport"]})
        assert nio["lport"] in bound, f"{_said(port)} was linked anew, and nothing of the VM has bound {nio['lport']}"
        assert former not in bound, (
            f"{_said(port)} was linked anew, and the VM still has its former lport {former} bound"
        )

    @contextmanager
    def _wired(self, machines: Machines, answers: Mapping[Port, str], within: float) -> Iterator[Wire]:
        if not answers:
            pytest.skip(NO_ANSWERS)
        wire = Wire(machines, answers, within)
        try:
            yield wire
        finally:
            for end in wire.ends.values():
                end.close()


def _bound(machines: Machines, others: Collection[int], wanted: set[int]) -> set[int]:
    """The UDP ports that a VM has bound, after a while for those that are `wanted`.

    They are those of processes that are none of the `others`, and those at which the server itself, or its engine, has
    connected sockets.
    """
    end = time.monotonic() + BOUND_WITHIN
    while True:
        own = machines.server.processes().keys() - others
        hosts = {machines.server.process.pid, *host.engines(machines.server.projects)}
        connected = [host.udp_ports(pid, connected=True) for pid in hosts]
        bound = set().union(*connected, *(host.udp_ports(pid, connected=False) for pid in own))
        if wanted <= bound or time.monotonic() > end:
            return bound
        time.sleep(0.02)


def _said(port: Port) -> str:
    return f"adapter {port[0]}, port {port[1]}"
