"""Bringing back what a lab had: the leases of nobody at its start, and the VMs of a project when it is opened."""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from labplane.errors import Conflict, LabError, NotFound
from labplane.machines import records
from labplane.machines.deleted_dirs import DeletedDirs
from labplane.machines.leases import lease_consoles, release_ports
from labplane.machines.places import directory_in
from labplane.machines.vm import VM, Phase
from labplane.net.nios import NIO, Port, lean
from labplane.net.ports import PortPool

if TYPE_CHECKING:
    from pathlib import Path

    from labplane.machines.kind import Kind
    from labplane.machines.lab import Lab

log = logging.getLogger("labplane")

AT_A_TIME = 50  # VMs that are brought back in a turn of the event loop, some ten milliseconds

_VMS = (
    "SELECT vm_id, kind, name, wanted, generation, last_exit, settings, console, nios, ports FROM vm "
    "WHERE project_id = ? ORDER BY position"
)
_UNCLAIMED = "SELECT number, boot, since FROM port WHERE project_id IS NULL"
_HELD = "SELECT pool, number, project_id FROM port WHERE project_id IS NOT NULL"
_HELD_OF = "SELECT vm_id, pool, number FROM port WHERE project_id = ?"
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
    lab.udp.on_change = partial(records.note_lease, lab)  # only now: what is kept is not to be kept anew


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
    owner = lab.project_owner(project_id)
    held: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for vm_id, pool, number in await lab.state.write([(_HELD_OF, (project_id,))]):
        held[vm_id].add((pool, number))
    vms = [_Kept.of(row, held[row[0]]) for row in await lab.state.write([(_VMS, (project_id,))])]
    other = _hold_lports(lab, vms, owner)
    for number, kept in enumerate(vms, 1):
        if number % AT_A_TIME == 0:
            await asyncio.sleep(0)  # others have their turn
        try:
            if kept.kind not in kinds:
                raise Conflict(f"no plugin here brings the kind {kept.kind!r}; install one that does and start again.")
            vm = VM(lab, kinds[kept.kind], project_id, kept.vm_id, kept.name, directory)
            vm.generation, vm.wanted, vm.last_exit = kept.generation, kept.wanted, kept.last_exit
            await _bring_back(vm, kept, other)
        except LabError as error:
            _tell(lab, project_id, f"The VM {kept.name!r} ({kept.vm_id}) is kept but not there: {error}")
            if kept.console is not None:
                lab.consoles.restore(kept.console, owner)
    rows = await lab.state.write([(_DELETED, (project_id,))])
    for vm_id, kind, _ in rows:
        deleted.restore(project_id, vm_id, directory_in(directory, kind, vm_id))
    if committed := [row[0] for row in rows if row[2]]:
        lab.background(deleted.go_on(project_id, committed))


class _Kept(NamedTuple):
    """What the state has of a VM; held: the ports that it has for it."""

    vm_id: str
    kind: str
    name: str
    wanted: str
    generation: int
    last_exit: dict[str, Any] | None
    settings: Mapping[str, Any]
    console: int | None
    nios: Mapping[Port, NIO]
    leases: Mapping[str, Mapping[str, int]]
    held: Set[tuple[str, int]]

    @classmethod
    def of(cls, row: tuple[Any, ...], held: Set[tuple[str, int]]) -> Self:
        vm_id, kind, name, wanted, generation, last_exit, settings, console, nios, leases = row
        links = {(adapter, port): nio for adapter, port, nio in json.loads(nios)}
        ended = None if last_exit is None else json.loads(last_exit)
        own = (json.loads(settings), console, links, json.loads(leases))
        return cls(vm_id, kind, name, wanted, generation, ended, *own, held)

    def is_true_of(self, vm: VM) -> bool:
        """Whether nothing of `vm` is other than it is kept."""
        now = (vm.console, vm.nios, vm.leases)
        return now == (self.console, self.nios, self.leases) and {*records.numbers(*now)} == self.held


async def _bring_back(vm: VM, kept: _Kept, other: Mapping[int, int]) -> None:
    lab, driver = vm.lab, vm.driver
    while (known := lab.vms.get(vm.id)) is not None:
        async with known.lock:  # it is in the making, and is refused in the end, since the state has this one
            if not known.gone:
                raise Conflict(f"its id belongs to {known} of the project {known.project_id} meanwhile.")
    async with vm.lock:
        if kept.console is not None:
            vm.console = _again(lab.consoles, vm, kept.console)
        for pool, which in ((lab.consoles, records.CONSOLE), (lab.udp, records.UDP)):
            for name, number in kept.leases.get(which, {}).items():
                vm.leases[which][name] = _again(pool, vm, number)
        lease_consoles(vm)
        lab.vms.add(vm)
        settings = {name: value for name, value in kept.settings.items() if name in driver.properties}
        try:
            await vm.supervised(driver.restore(vm, settings))
        except BaseException:
            lab.vms.discard(vm)
            release_ports(vm)
            raise
        vm.settings = {name: schema.get("default") for name, schema in driver.properties.items()} | settings
        for port, nio in kept.nios.items():
            moved = _moved(nio, other)
            if "lport" not in moved or _takes_over(vm, moved["lport"]):
                vm.nios[port] = lean(moved)
            else:
                vm.tell(
                    "warning", f"{vm} is no longer linked at port {port[1]}: its UDP port {moved['lport']} is taken."
                )
        if not kept.is_true_of(vm):
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


def _hold_lports(lab: "Lab", vms: Iterable[_Kept], owner: str) -> dict[int, int]:
    """Hold the UDP ports of the project's links for it; other ones for those that others got while it was closed."""
    wanted = [nio["lport"] for kept in vms for nio in kept.nios.values() if "lport" in nio]
    taken = [number for number in wanted if not lab.udp.restore(number, owner)]
    other = {}
    with suppress(LabError):  # there are no more
        for number in taken:
            other[number] = lab.udp.lease(owner)
    return other


def _moved(nio: NIO, other: Mapping[int, int]) -> NIO:
    """The NIO with other numbers, at both ends if the far one is in the same project."""
    if not other or "lport" not in nio:
        return nio
    ends = ["lport", "rport"] if nio["rhost"].startswith("127.") or nio["rhost"] == "localhost" else ["lport"]
    return {**nio, **{end: other.get(nio[end], nio[end]) for end in ends}}


def _tell(lab: "Lab", project_id: str, sentence: str) -> None:
    log.error("%s", sentence)
    lab.events.emit("log.error", {"message": sentence}, project_id)
