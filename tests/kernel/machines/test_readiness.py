"""What a VM does by itself: its guest comes up, is suspended, ends; told by its driver, and by a prompt."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from inprocess import Served, offering, serving
from labplane import VM, Driver, ProcessDriver
from labplane.testing import Viewer
from support import until


class Guest(Driver):
    """Says by itself when it is up."""

    kind = "guest"
    console = False
    boots = True

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


class Shell(ProcessDriver):
    """Asks for a line, and prints a prompt only then."""

    kind = "shell"
    boots = True
    prompt: ClassVar[bytes | None] = rb"[\w ]+> "

    def command(self, vm: VM) -> Sequence[str]:
        return ["/bin/sh", "-c", 'echo "a > b"; read line; printf "%s> " "$line"; read line']


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [offering(Guest, Shell)]) as served:
        yield served


class Watched:
    """A VM, and the events of its lab since then."""

    def __init__(self, served: Served, kind: str) -> None:
        self.served = served
        self.path = served.vm(served.project(), kind)
        found = served.lab.vms.get(self.path.rsplit("/", 1)[1])
        assert found is not None
        self.vm = found
        self.subscription = served.call(served.lab.events.listen)

    def do(self, action: str) -> None:
        assert self.served.http.post(f"{self.path}/{action}").status_code == 204

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.served.http.get(self.path).json()
        return found

    def told(self) -> list[tuple[str, Any]]:
        """Action and status or message of each event."""

        def taken() -> list[tuple[str, Any]]:
            assert self.vm._news is None or self.vm._news.done()
            events = list(self.subscription._events)
            self.subscription._events.clear()
            return [(one.action, one.event.get("message", one.event.get("ready"))) for one in events]

        until(lambda: self.vm._news is None or self.vm._news.done(), "all events")
        found: list[tuple[str, Any]] = self.served.call(taken)
        return found

    def report(self, status: str) -> None:
        self.served.call(self.vm.report, status, "its guest wanted it")


def test_a_vm_is_ready_when_its_driver_says_so(served: Served) -> None:
    watched = Watched(served, "guest")
    assert watched.shown()["ready"] is False
    watched.do("start")
    assert (watched.shown()["status"], watched.shown()["ready"]) == ("started", False)
    for _ in range(2):
        served.call(setattr, watched.vm, "ready", True)
    assert watched.shown()["ready"] is True
    watched.do("stop")
    assert watched.shown()["ready"] is False
    watched.do("start")
    assert watched.shown()["ready"] is False, "readiness does not outlast a stop"
    assert watched.told() == [
        ("vm.started", False),
        ("vm.ready", True),
        ("vm.stopped", False),
        ("vm.started", False),
    ]


def test_a_vm_is_ready_when_its_prompt_is_the_end_of_what_it_printed(served: Served) -> None:
    watched = Watched(served, "shell")
    watched.do("start")
    with Viewer(watched.shown()["console"]) as viewer:
        viewer.until(b"b\r\n")
        assert watched.shown()["ready"] is False, "a prompt in the middle is none"
        viewer.type("PC 1")
        viewer.until(b"PC 1> ")
        until(lambda: watched.shown()["ready"], "the VM to be ready")
        assert watched.vm.session is not None
        assert watched.vm.session.console.viewers == 1, "who watched for the prompt has left"


def test_what_the_emulator_does_by_itself_is_told_and_shown(served: Served) -> None:
    watched = Watched(served, "guest")
    watched.do("start")
    for status in ("suspended", "suspended", "started", "stopped"):
        watched.report(status)
        assert watched.shown()["status"] == status
    name = str(watched.vm)
    assert watched.told() == [
        ("vm.started", False),
        ("log.info", f"{name} is suspended: its guest wanted it."),
        ("vm.suspended", False),
        ("log.info", f"{name} is started: its guest wanted it."),
        ("vm.started", False),
        ("log.info", f"{name} is stopped: its guest wanted it."),
        ("vm.stopped", False),
    ]
    watched.do("start")
    assert watched.shown()["status"] == "started"


def test_a_program_whose_vm_is_reported_stopped_is_ended(served: Served) -> None:
    watched = Watched(served, "shell")
    watched.do("start")
    session = watched.vm.session
    assert session is not None
    watched.report("stopped")
    until(lambda: not session.alive, "the program to end")
    assert [action for action, _ in watched.told()].count("vm.stopped") == 1
    watched.do("start")
    assert watched.shown()["status"] == "started"


def test_a_status_that_there_is_not_is_an_error(served: Served) -> None:
    with pytest.raises(ValueError, match="not 'paused'"):
        Watched(served, "guest").report("paused")
