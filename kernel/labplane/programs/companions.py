"""Companions: further programs of a VM, which are up before its own, are ended after it, and without which it ends."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labplane.emulators.confinement import Needs
from labplane.emulators.session import Session
from labplane.errors import Conflict
from labplane.machines.vm import VM, Phase

if TYPE_CHECKING:
    from labplane.programs.process_driver import ProcessDriver

LOOK_EACH = 0.005


@dataclass(frozen=True)
class Companion:
    """A program that belongs to that of a VM, as a TPM or an Ethernet bridge does, or a shell at a further console.

    name:    a lower-case word; its log is NAME.log in ``vm.dir``. When the driver's `consoles` have it, its terminal is
             what viewers of that console see.
    command: its argument list; the first is its absolute path.
    needs:   what it needs besides itself and ``vm.dir``, when it is confined.
    ready:   a path, of its socket as a rule, which is there when it is up; None when it is up once it runs. What lies
             there from an earlier start is removed.
    """

    name: str
    command: tuple[str, ...]
    needs: Needs = field(default_factory=Needs)
    ready: Path | None = None


def run_of(vm: VM, name: str) -> str:
    """The name in the keeper of the run of that companion."""
    return f"{vm.id}:{name}"


def vm_of(run: str) -> str:
    """The id of the VM to which the run of that name in the keeper belongs, its own or a companion's."""
    return run.partition(":")[0]


async def accompany(driver: "ProcessDriver", vm: VM, session: Session, one: Companion) -> None:
    """Start a companion of the program that `session` is going to run; return when it is up. Raises LabError."""
    if one.ready is not None:
        await asyncio.to_thread(one.ready.unlink, missing_ok=True)
    other = _joined(driver, vm, session, one.name)
    await driver.spawn(vm, other, one.command, one.needs, companion=one.name)
    while other.alive and one.ready is not None and not one.ready.exists():
        await asyncio.sleep(LOOK_EACH)
    if not other.alive:
        last = other.last_line or "none"
        raise Conflict(f"{one.name} of {vm} ended as soon as it was started. Its last words: {last}{other.suspicion}")
    await driver.open_console(vm, other)


async def adopt(driver: "ProcessDriver", vm: VM, session: Session, name: str, run: dict[str, Any]) -> None:
    """Go on with a companion that an earlier server has started."""
    other = _joined(driver, vm, session, name)
    other.adopt(vm.lab.terminals, run)
    await driver.open_console(vm, other)


def _joined(driver: "ProcessDriver", vm: VM, session: Session, name: str) -> Session:
    def ended(other: Session, returncode: int) -> None:
        if not session.alive or session.process is None or vm.phase is Phase.ENDING:
            return
        how = f"by signal {-returncode}" if returncode < 0 else f"with status {returncode}"
        vm.tell("error", f"{vm} is ended, since its {name} has ended {how}.{other.suspicion}")
        vm.lab.background(session.process.stop(vm.patience))

    other = driver.new_session(vm, name, ended)
    other.patience = vm.patience
    session.companions.append(other)
    return other
