"""The life of a VM: start, stays started, stop, what else it can do, many requests at once, an untimely end."""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress

import pytest

from labplane.testing import host
from labplane.testing.machines import Machines, Port, message, nio_path
from labplane.testing.published import EVERY_ACTION, Published
from labplane.testing.server import until

CROWD = 8
NOTICED_WITHIN = 1.0


class LifeTests:
    """The actions of VMs: start, stop, reload, suspend, resume."""

    def test_a_vm_starts_and_stays_started(self, machines: Machines) -> None:
        vm = machines.running()
        machines.stays(vm, "started")

    def test_start_of_a_vm_that_runs_changes_nothing(self, machines: Machines) -> None:
        vm = machines.running()
        machines.stays(vm, "started")
        processes, shown = machines.server.processes(), machines.show(vm)
        machines.start(vm)
        assert machines.show(vm) == shown
        ended = [processes[pid] for pid in processes.keys() - machines.server.processes().keys()]
        assert not ended, f"a second start ended what ran: {ended}"

    def test_when_stop_has_answered_nothing_of_the_vm_runs(self, machines: Machines) -> None:
        before = machines.server.processes()
        vm = machines.running()
        machines.stop(vm)
        machines.nothing_new(before, "stop had answered")
        machines.stays(vm, "stopped")
        machines.stop(vm)

    def test_a_restart_keeps_console_and_links(self, machines: Machines, published: Published) -> None:
        vm = machines.create()
        lports = machines.link(vm)
        stopped = machines.show(vm)
        ways = ["stop and start"] + ["reload"] * ("reload" in published.actions)
        machines.start(vm)
        for way in ways * 2:
            if way == "reload":
                machines.ask("POST", f"{vm}/reload", 204)
            else:
                machines.stop(vm)
                machines.start(vm)
            shown = machines.show(vm)
            assert shown["status"] == "started", f"after {way} the VM is {shown['status']}. {machines.news}"
            assert shown.get("console") == stopped.get("console"), f"after {way} the console is another one"
        machines.stays(vm, "started")
        machines.stop(vm)
        _are_still_its_own(machines, lports, stopped.get("console"))
        now = {key: value for key, value in machines.show(vm).items() if key not in published.readonly}
        assert now == {key: value for key, value in stopped.items() if key not in published.readonly}

    def test_many_starts_at_once_are_one_start(self, machines: Machines) -> None:
        one, other = machines.linked(), machines.linked()
        nobody = machines.server.processes().keys()
        machines.start(one)
        machines.stays(one, "started")
        first = machines.server.processes().keys() - nobody
        for reply in machines.together(f"{other}/start", CROWD):
            assert reply.status_code == 204, f"one of {CROWD} starts at once answered {reply.status_code}: {reply.text}"
        machines.stays(other, "started")
        second = machines.server.processes().keys() - nobody - first
        assert len(second) <= len(first), (
            f"{CROWD} starts at once made {len(second)} processes, where one start makes {len(first)}"
        )
        before = {pid: name for pid, name in machines.server.processes().items() if pid not in second}
        for reply in machines.together(f"{other}/stop", CROWD):
            assert reply.status_code == 204, f"one of {CROWD} stops at once answered {reply.status_code}: {reply.text}"
        machines.nothing_new(before, f"{CROWD} stops at once had answered")

    def test_an_action_that_it_lacks_is_a_405_that_names_those_it_has(
        self, machines: Machines, published: Published
    ) -> None:
        vm = machines.create()
        lacks = [action for action in EVERY_ACTION if action not in published.actions]
        for action in lacks:
            text = machines.refusal("POST", f"{vm}/{action}", 405)
            assert all(has in text for has in published.actions), f"{action}: {text}"
        if not lacks:
            pytest.skip(f"{published.kind} VMs can do everything")

    def test_a_stopped_vm_can_be_reloaded(self, machines: Machines, published: Published) -> None:
        _needs(published, "reload")
        vm = machines.linked()
        machines.ask("POST", f"{vm}/reload", 204)
        machines.stays(vm, "started")

    def test_a_vm_is_suspended_and_resumed(self, machines: Machines, published: Published) -> None:
        _needs(published, "suspend", "resume")
        vm = machines.linked()
        for action in ("suspend", "resume"):
            machines.refusal("POST", f"{vm}/{action}", 409)
        machines.start(vm)
        for _ in range(2):
            machines.ask("POST", f"{vm}/suspend", 204)
            machines.stays(vm, "suspended")
            machines.refusal("POST", f"{vm}/start", 409)
            machines.ask("POST", f"{vm}/resume", 204)
            machines.stays(vm, "started")

    def test_a_suspended_vm_can_be_stopped(self, machines: Machines, published: Published) -> None:
        _needs(published, "suspend")
        before = machines.server.processes()
        vm = machines.running()
        machines.ask("POST", f"{vm}/suspend", 204)
        machines.stop(vm)
        machines.nothing_new(before, "stop of the suspended VM had answered")

    def test_the_end_of_its_emulator_is_noticed_within_a_second(self, machines: Machines) -> None:
        before = machines.server.processes().keys()
        vm = machines.running()
        machines.stays(vm, "started")
        emulators = machines.server.processes().keys() - before
        if not emulators:
            pytest.skip("its VMs run no process that could die")
        for pid in emulators:
            with suppress(ProcessLookupError):  # one ends with the other
                os.kill(pid, signal.SIGKILL)
        until(lambda: not emulators & machines.server.processes().keys(), "the end of what was killed")
        ended = time.monotonic()
        while True:
            asked = time.monotonic()
            status = machines.status(vm)
            if status == "stopped":
                break
            assert asked - ended < NOTICED_WITHIN, (
                f"its emulator was killed {asked - ended:.2f} s ago, and the VM is still {status}"
            )
            time.sleep(0.02)
        machines.start(vm)
        machines.stays(vm, "started")

    def test_a_check_that_fails_is_the_answer_to_start(self, unavailable: Machines, reason: str) -> None:
        machines = unavailable
        before = machines.server.processes(), machines.server.children()
        vm = machines.linked()
        shown = machines.show(vm)
        for action in ("start", "reload"):
            if action in machines.published.actions:
                text = machines.refusal("POST", f"{vm}/{action}", 409)
                assert reason in text, f"check() raised Unavailable({reason!r}), and {action} answered {text!r}"
                machines.stays(vm, "stopped")
        assert machines.show(vm) == shown, "a refused start has changed the VM"
        assert (machines.server.processes(), machines.server.children()) == before, "a refused start left a process"

    def test_without_programs_on_the_path_start_works_or_is_refused_with_a_sentence(self, bare: Machines) -> None:
        machines = bare
        before = machines.server.processes()
        vm = machines.linked()
        reply = machines.send("POST", f"{vm}/start")
        if reply.status_code != 204:
            message(reply, 400, 409)
            machines.stays(vm, "stopped")
            machines.nothing_new(before, "start was refused")

    def test_its_processes_are_confined(self, machines: Machines) -> None:
        before = machines.server.processes().keys()
        vm = machines.running()
        machines.stays(vm, "started")
        own = {pid: name for pid, name in machines.server.processes().items() if pid not in before}
        free = sorted({name for pid, name in own.items() if not host.is_confined(pid)})
        if not own:
            pytest.skip("its VMs run no process")
        kind, reports = machines.published.kind, machines.ask("GET", "/v1/plugins", 200)
        is_said_to_be = not any(kind in report["unconfined"] for report in reports)
        if is_said_to_be and 0 < len(free) < len(set(own.values())):
            pytest.skip(f"its programs are confined; these run outside, which nobody may reach: {', '.join(free)}")
        if free:
            pytest.skip(
                f"not confined: {', '.join(free)}. What its users type or upload can reach whatever the server can; "
                "a ProcessDriver is confined unless it says otherwise."
            )


def _needs(published: Published, *actions: str) -> None:
    for action in actions:
        if action not in published.actions:
            pytest.skip(f"{published.kind} VMs cannot {action}")


def _are_still_its_own(machines: Machines, lports: Mapping[Port, int], console: int | None) -> None:
    if console is not None:
        stolen = f"the console {console} of a stopped VM, which it must keep, "
        reply = machines.send("POST", machines.path, {"name": "new", **machines.settings})
        offered = f"{stolen}is offered to a new one, as it is when stop() releases it: {reply.text}"
        assert reply.status_code == 201, offered
        assert reply.json().get("console") != console, offered
        thief = {"name": "thief", **machines.settings, "console": console}
        reply = machines.send("POST", machines.path, thief)
        assert reply.status_code == 409, f"{stolen}can be had by another one"
    other = machines.create()
    for port, lport in lports.items():
        reply = machines.send("POST", nio_path(other, port), {**machines.nio_udp(), "lport": lport})
        assert reply.status_code == 409, f"another VM gets the lport {lport} of a stopped one"
