"""Bringing back what a lab had: the leases of nobody at its start, and the VMs of a project when it is opened."""

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from labplane.errors import Conflict, LabError, NotFound
from labplane.machines import records
from labplane.machines.deleted_dirs import DeletedDirs
from labplane.machines.leases import lease_consoles, release_ports
from labplane.machines.places import directory_in
from labplane.machines.vm import VM, Phase
from labplane.net.nios import NIO, Port
from labplane.net.ports import PortPool

if TYPE_CHECKING:
    from pathlib import Path

    from labplane.machines.kind import Kind
    from labplane.machines.lab import Lab

log = logging.getLogger("labplane")

_VMS = (
    "SELECT vm_id, kind, name, settings, console, nios, ports, wanted, generation, last_exit FROM vm "
    "WHERE project_id = ? ORDER BY position"
)
_UNCLAIMED = "SELECT number, boot, since FROM port WHERE project_id IS NULL"
_HELD = "SELECT pool, number, project_id FROM port WHERE project_id IS NOT NULL"
_DELETED = "SELECT vm_id, kind, committed FROM deleted WHERE project_id = ?"


class Adopter(Protocol):
    """Who keeps machines running while no server is there."""

    async def adopt(self, vm: VM) -> None:
        """Take over what still runs of `vm`, or leave it stopped. Asked once for each VM, with its lock held."""

    async def end_others(self) -> None:
        """End every machine that no VM took over."""


async def recall(lab: "Lab") -> None:
    """Take back the UDP ports that are leased to nobody yet, for the time that they have left (U-1).

    All ports of projects and their VMs are held for the projects, so that none which comes back first gets that of a
    later one.
    """
    await lab.values.load()
    for pool, number, project_id in await lab.state.write([(_HELD, ())]):
        (lab.udp if pool == records.UDP else lab.consoles).restore(number, lab.project_owner(project_id))
    unclaimed = await lab.state.write([(_UNCLAIMED, ())])
    since = {number: records.since_now(boot, since) for number, boot, since in unclaimed}
    for number in sorted(since, key=since.__getitem__):
        lab.udp.restore(number, None, since[number])


async def let_go(lab: "Lab") -> None:
    """Give back the ports of projects that have not come back: they were being closed when the server was killed."""
    for project_id in {project_id for *_, project_id in await lab.state.write([(_HELD, ())])}:
        try:
            lab.project_dir(project_id)
        except NotFound:
            for pool in (lab.udp, lab.consoles):
                pool.release_all(lab.project_owner(project_id))
            records.note_closed(lab, project_id)


async def restore(
    lab: "Lab", kinds: "Mapping[str, Kind]", deleted: DeletedDirs, project_id: str, directory: "Path"
) -> None:
    """Bring back the VMs and ports of a project that is about to be opened in `directory`.

    A VM that cannot be brought back, for its kind is not installed, say, stays as it is kept, and that is told.
    """
    await lab.values.load(project_id)
    rows = await lab.state.write([(_VMS, (project_id,))])
    owner = lab.project_owner(project_id)
    other = _hold_lports(lab, rows, owner)
    for vm_id, kind, name, settings, console, nios, ports, wanted, generation, last_exit in rows:
        links: dict[Port, NIO] = {(adapter, port): _moved(nio, other) for adapter, port, nio in json.loads(nios)}
        try:
            if kind not in kinds:
                raise Conflict(f"no plugin here brings the kind {kind!r}; install one that does and start again.")
            vm = VM(lab, kinds[kind], project_id, vm_id, name, directory)
            vm.generation, vm.wanted = generation, wanted
            vm.last_exit = None if last_exit is None else json.loads(last_exit)
            await _bring_back(vm, json.loads(settings), console, links, json.loads(ports))
        except LabError as error:
            _tell(lab, project_id, f"The VM {name!r} ({vm_id}) is kept but not there: {error}")
            if console is not None:
                lab.consoles.restore(console, owner)
    rows = await lab.state.write([(_DELETED, (project_id,))])
    for vm_id, kind, _ in rows:
        deleted.restore(project_id, vm_id, directory_in(directory, kind, vm_id))
    if committed := [row[0] for row in rows if row[2]]:
        lab.background(deleted.go_on(project_id, committed))


async def _bring_back(
    vm: VM,
    settings: dict[str, Any],
    console: int | None,
    nios: dict[Port, NIO],
    leases: Mapping[str, Mapping[str, int]],
) -> None:
    lab, driver = vm.lab, vm.driver
    while (other := lab.vms.get(vm.id)) is not None:
        async with other.lock:  # it is in the making, and is refused in the end, since the state has this one
            if not other.gone:
                raise Conflict(f"its id belongs to {other} of the project {other.project_id} meanwhile.")
    async with vm.lock:
        if console is not None:
            vm.console = _again(lab.consoles, vm, console)
        for pool, which in ((lab.consoles, records.CONSOLE), (lab.udp, records.UDP)):
            for name, number in leases.get(which, {}).items():
                vm.leases[which][name] = _again(pool, vm, number)
        lease_consoles(vm)
        lab.vms.add(vm)
        try:
            settings = {name: value for name, value in settings.items() if name in driver.properties}
            await vm.supervised(driver.restore(vm, settings))
        except BaseException:
            lab.vms.discard(vm)
            release_ports(vm)
            raise
        vm.settings = {name: schema.get("default") for name, schema in driver.properties.items()} | settings
        for port, nio in nios.items():
            if "lport" not in nio or _takes_over(vm, nio["lport"]):
                vm.nios[port] = nio
            else:
                vm.tell("warning", f"{vm} is no longer linked at port {port[1]}: its UDP port {nio['lport']} is taken.")
        lab.state.note(("vm", vm.id), *records.change(vm, console=vm.console, nios=vm.nios, leases=vm.leases))
        try:
            vm.dir.mkdir(parents=True, exist_ok=True)
            if lab.adopter is not None:
                await lab.adopter.adopt(vm)
        except (LabError, OSError) as error:
            vm.tell("error", f"{vm} is there, but not as it was: {error}")
        vm.phase = Phase.READY
        vm.announce("vm.created")


def _again(pool: PortPool, vm: VM, number: int) -> int:
    """The port that `vm` had, or another one when somebody else got it while the project was closed."""
    owner = vm.lab.project_owner(vm.project_id)
    if number in pool and pool.owner(number) == owner:
        pool.claim(number, vm, heir_of=owner)
        return number
    return number if pool.restore(number, vm) else pool.lease(vm)


def _takes_over(vm: VM, lport: int) -> bool:
    """Lease to `vm` what its project holds for it; whether that is so."""
    udp, owner = vm.lab.udp, vm.lab.project_owner(vm.project_id)
    if lport not in udp or udp.owner(lport) != owner:
        return False
    udp.claim(lport, vm, heir_of=owner)
    return True


def _hold_lports(lab: "Lab", rows: Iterable[tuple[Any, ...]], owner: str) -> dict[int, int]:
    """Hold the UDP ports of the project's links for it; other ones for those that others got while it was closed."""
    wanted = [nio["lport"] for row in rows for *_, nio in json.loads(row[5]) if "lport" in nio]
    taken = [number for number in wanted if not lab.udp.restore(number, owner)]
    other = {}
    with suppress(LabError):  # there are no more
        for number in taken:
            other[number] = lab.udp.lease(owner)
    return other


def _moved(nio: dict[str, Any], other: Mapping[int, int]) -> dict[str, Any]:
    """The NIO with other numbers, at both ends if the far one is in the same project."""
    if "lport" in nio:
        nio["lport"] = other.get(nio["lport"], nio["lport"])
        if nio["rhost"].startswith("127.") or nio["rhost"] == "localhost":
            nio["rport"] = other.get(nio["rport"], nio["rport"])
    return nio


def _tell(lab: "Lab", project_id: str, sentence: str) -> None:
    log.error("%s", sentence)
    lab.events.emit("log.error", {"message": sentence}, project_id)
