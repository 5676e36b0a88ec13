"""A driver's links and consoles: the rules that follow from its `adapters` and `nios`, and viewers."""

import pytest

from labplane.testing.machines import FAR_END, WINDOW, Machines, message, nio_path
from labplane.testing.published import Published
from labplane.testing.server import port_is_free, until
from labplane.testing.values import sample
from labplane.testing.viewer import Viewer

HUNG_UP_WITHIN = 3.0


class LinkTests:
    """The NIOs of VMs, as the driver's `adapters` and `nios` say."""

    def test_a_port_takes_every_type_of_nio_that_is_published(self, machines: Machines, published: Published) -> None:
        vm = machines.create()
        for port in machines.ports(vm):
            at = nio_path(vm, port)
            for name, schema in published.nio_types.items():
                if name == "nio_udp":
                    nio = machines.nio_udp()
                    answered = machines.ask("POST", at, 201, nio)
                    assert answered == nio, f"the reply to an NIO shows another one: {answered}"
                else:  # whether it is good depends on the host: a tap device, say
                    reply = machines.send("POST", at, sample(published, schema))
                    assert reply.status_code == 201 or message(reply, 400, 409)
            for _ in range(2):  # also where there is none any more
                machines.ask("DELETE", at, 204)

    def test_a_port_that_it_lacks_is_a_409(self, machines: Machines, published: Published) -> None:
        vm = machines.create()
        ports = machines.ports(vm)
        after = max((adapter for adapter, _ in ports), default=-1) + 1
        for port in ((after + 1000, 0), (0, 100_000)):
            machines.refusal("DELETE", nio_path(vm, port), 409)
            if "nio_udp" in published.nio_types:
                machines.refusal("POST", nio_path(vm, port), 409, machines.nio_udp())

    def test_a_type_of_nio_that_it_does_not_take_is_a_409_that_names_those_it_takes(
        self, machines: Machines, published: Published
    ) -> None:
        vm = machines.create()
        for port in machines.ports(vm)[:1]:
            for name in published.foreign_nio_types:
                text = machines.refusal("POST", nio_path(vm, port), 409, {"type": name})
                assert all(taken in text for taken in published.nio_types), text

    def test_a_malformed_nio_is_a_400(self, machines: Machines, published: Published) -> None:
        vm = machines.create()
        bodies = [{}, {"type": "nio_of_no_kind"}, {"type": 1}]
        if "nio_udp" in published.nio_types:
            good = machines.nio_udp()
            bodies += [{**good, "lport": "1"}, {**good, "rport": 0}, {**good, "rhost": None}, {"type": "nio_udp"}]
        for port in machines.ports(vm)[:1]:
            for body in bodies:
                machines.refusal("POST", nio_path(vm, port), 400, body)

    def test_an_lport_has_one_owner_until_it_is_unplugged(self, machines: Machines, published: Published) -> None:
        one, other = machines.create(), machines.create()
        ports = machines.ports(one)
        if not ports or "nio_udp" not in published.nio_types:
            pytest.skip(f"{published.kind} VMs take no nio_udp")
        mine, theirs = nio_path(one, ports[0]), nio_path(other, ports[0])
        nio = machines.nio_udp()
        machines.ask("POST", mine, 201, nio)
        machines.refusal("POST", theirs, 409, nio)
        machines.ask("DELETE", mine, 204)
        machines.ask("POST", theirs, 201, nio)
        machines.refusal("POST", mine, 409, nio)
        machines.ask("DELETE", other, 204)
        machines.ask("POST", mine, 201, nio)

    def test_a_vm_that_runs_can_be_rewired(self, machines: Machines, published: Published) -> None:
        vm = machines.create()
        lports = machines.link(vm)
        if not lports:
            pytest.skip(f"{published.kind} VMs take no nio_udp")
        machines.start(vm)
        for port, lport in lports.items():
            at = nio_path(vm, port)
            machines.ask(
                "POST", at, 201, {"type": "nio_udp", "lport": lport, "rhost": "127.0.0.1", "rport": FAR_END + 1}
            )
            machines.ask("DELETE", at, 204)
            machines.ask("DELETE", at, 204)
            machines.ask("POST", at, 201, machines.nio_udp())
        machines.stays(vm, "started")
        machines.stop(vm)
        machines.start(vm)


class ConsoleTests:
    """The viewers of consoles, if VMs of the kind have consoles."""

    def test_its_console_takes_viewers_as_soon_as_start_has_answered(
        self, machines: Machines, published: Published
    ) -> None:
        if not published.has_console:
            pytest.skip(f"{published.kind} VMs have no console")
        vm = machines.running()
        port = machines.show(vm)["console"]
        with _viewer(port, "start had answered") as one, _viewer(port, "a first viewer was there") as other:
            for viewer in (one, other):
                viewer.type("")
            for who, viewer in (("the first", one), ("the second", other)):
                assert viewer.stays(WINDOW / 2), f"the console at {port} hangs up on {who} viewer"
            machines.stop(vm)
            for viewer in (one, other):
                _hung_up(viewer)
        until(lambda: not _listens(port), f"the console port {port} to take no viewer after stop")

    def test_its_console_is_there_again_after_a_restart(self, machines: Machines, published: Published) -> None:
        if not published.has_console:
            pytest.skip(f"{published.kind} VMs have no console")
        vm = machines.running()
        port = machines.show(vm)["console"]
        for _ in range(2):
            with _viewer(port, "start had answered") as viewer:
                machines.stop(vm)
                machines.start(vm)
                _hung_up(viewer)
        with _viewer(port, "it had been started again"):
            machines.ask("DELETE", vm, 204)
        until(lambda: port_is_free(port), f"the console port {port} to be free after delete")


def _viewer(port: int, when: str) -> Viewer:
    try:
        return Viewer(port)
    except OSError as error:
        raise AssertionError(f"the console at {port} does not take a viewer when {when}: {error.strerror}") from None


def _listens(port: int) -> bool:
    try:
        Viewer(port).socket.close()
    except ConnectionRefusedError:
        return False
    return True


def _hung_up(viewer: Viewer) -> None:
    try:
        viewer.until_closed(HUNG_UP_WITHIN)
    except TimeoutError:
        raise AssertionError(f"{HUNG_UP_WITHIN} s after stop a viewer is still connected to its console") from None
