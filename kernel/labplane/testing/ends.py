"""How a driver's VMs end, and what must not be left of them: processes, ports, descriptors, files."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labplane.testing import host
from labplane.testing.machines import Machines, leaked
from labplane.testing.server import Server, port_is_free, until

CYCLES = 3
CLOSED_WITHIN = 2.0
SERVER_ENDS_WITHIN = 80.0  # with the patience of the driver
FAILED = re.compile(r"Traceback \(most recent call last\)|failed while it was removed")


class EndTests:
    """The ends of VMs, projects and servers: nothing is left of them."""

    def test_deleting_a_vm_that_runs_leaves_nothing(self, machines: Machines, places: list[Path]) -> None:
        with _leaves_nothing(machines):
            files = _files(places)
            vm = machines.running()
            directory = machines.directory(vm)
            console = machines.show(vm).get("console")
            machines.ask("DELETE", vm, 204)
            _is_free(console)
            machines.ask("POST", f"{machines.project}/commit", 204)
            assert not directory.exists(), f"after delete and commit the VM's directory is still there: {directory}"
            _no_files(places, files)

    def test_closing_the_project_of_a_vm_that_runs_leaves_nothing(
        self, machines: Machines, server: Server, places: list[Path]
    ) -> None:
        with _leaves_nothing(machines):
            files = _files(places)
            closed = Machines(server, machines.published, machines.settings)
            vms = [closed.running(), closed.linked()]
            consoles = [closed.show(vm).get("console") for vm in vms]
            closed.ask("POST", f"{closed.project}/close", 204)
            for vm, console in zip(vms, consoles, strict=True):
                closed.refusal("GET", vm, 404)
                _is_free(console)
            _no_files(places, files)

    def test_every_port_comes_back(self, machines: Machines, server: Server) -> None:
        before = machines.ports_left()
        trial = Machines(server, machines.published, machines.settings)
        deleted, closed = trial.running(), trial.running()
        for vm in (deleted, closed):
            trial.stop(vm)
            trial.start(vm)
        trial.ask("DELETE", deleted, 204)
        trial.close()
        after = machines.ports_left()
        assert after == before, (
            f"Before two VMs ran, {before} could be had, and after their project was closed {after}. The kernel takes "
            "back what it gave; what a driver leases itself, it must release in removed()."
        )

    def test_starts_and_stops_leave_no_descriptor(self, machines: Machines) -> None:
        vm = machines.running()
        machines.stop(vm)
        before = machines.server.descriptors()
        for _ in range(CYCLES):
            machines.start(vm)
            machines.stop(vm)
        _no_descriptors(machines, before, f"{CYCLES} starts and stops")

    def test_vms_that_are_deleted_or_closed_while_they_run_leave_no_descriptor(
        self, machines: Machines, server: Server
    ) -> None:
        def cycle() -> None:
            trial = Machines(server, machines.published, machines.settings)
            trial.ask("DELETE", trial.running(), 204)
            trial.running()
            trial.close()

        cycle()
        before = machines.server.descriptors()
        for _ in range(CYCLES):
            cycle()
        _no_descriptors(machines, before, f"{2 * CYCLES} VMs that were deleted or closed while they ran")

    def test_the_server_ends_in_order_with_a_vm_that_runs(self, short_lived: Machines) -> None:
        machines = short_lived
        machines.linked()
        machines.running()
        ran = machines.server.processes()
        returncode = machines.server.stop(within=SERVER_ENDS_WITHIN)
        assert returncode in (0, -signal.SIGTERM), f"the server ended with {returncode}. {machines.news}"
        left = machines.server.processes()  # who works in its projects, and who ran and has another parent by now
        left |= {one.pid: one.name for one in host.processes() if one.pid in ran and one.runs}
        assert not left, f"when the server had ended, there were processes still: {left}"
        _no_traceback(machines)

    def test_a_vm_that_runs_outlasts_its_server_if_its_kind_is_said_to(self, short_lived: Machines) -> None:
        server, published, settings = short_lived.server, short_lived.published, short_lived.settings
        machines = Machines(server, published, settings, server.project())
        kind, reports = published.kind, server.http.get("/v1/plugins").json()
        survives = kind in [one for report in reports for one in report["survives"]]
        vm = machines.running()
        shown = machines.show(vm)
        ran = server.programs()
        server.kill()
        with server.again() as server:
            again = Machines(server, published, settings, machines.project)
            assert again.status(vm) == ("started" if survives else "stopped"), (
                f"GET /v1/plugins says that {kind} VMs {'' if survives else 'do not '}outlast the server, which was "
                f"killed, and after that the VM is {again.status(vm)}. {again.news}"
            )
            if survives:
                assert server.programs() == ran, "another program runs than before"
                assert again.show(vm).get("console") == shown.get("console")
                again.stop(vm)
            again.nothing_new({}, "nothing of it ran any more")
            again.start(vm)
            again.stays(vm, "started")


@contextmanager
def _leaves_nothing(machines: Machines) -> Iterator[None]:
    processes = machines.server.processes()
    yield
    machines.nothing_new(processes, "it was gone")
    until(lambda: machines.server.processes().keys() >= set(machines.server.children()), "ended processes to be reaped")
    _no_traceback(machines)


def _no_traceback(machines: Machines) -> None:
    assert not FAILED.search(machines.news), f"the driver failed while its VM was removed:\n{machines.news}"


def _is_free(console: int | None) -> None:
    if console is not None:
        until(lambda: port_is_free(console), f"the console port {console} to be free")


def _no_descriptors(machines: Machines, before: list[str], what: str) -> None:
    with suppress(AssertionError):  # a viewer's socket may take a moment; what is left then is told below
        until(lambda: not leaked(before, machines.server.descriptors()), "them to be closed", CLOSED_WITHIN)
    left = leaked(before, machines.server.descriptors())
    assert not left, f"{what} have left descriptors open: {', '.join(left)}"


def _files(places: list[Path]) -> set[Path]:
    """All but those of the server's own state."""
    found = (path for place in places for path in place.rglob("*") if host.KEPT_IN not in path.parts)
    return {path for path in found if not path.is_dir()}


def _no_files(places: list[Path], before: set[Path]) -> None:
    left = sorted(map(str, _files(places) - before))
    assert not left, f"files are left: {', '.join(left)}"
