"""What the state of a lab has of a VM, and what it is told when a VM comes, changes or goes."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from labplane.net.ports import boottime

if TYPE_CHECKING:
    from labplane.machines.lab import Lab
    from labplane.machines.vm import VM
    from labplane.state.state import Statement

CONSOLE, UDP = "console", "udp"

_INSERT = (
    "INSERT INTO vm (vm_id, position, project_id, kind, name, settings, console, nios, ports, wanted, generation) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CHANGE = "UPDATE vm SET name = ?, settings = ?, console = ?, nios = ?, ports = ? WHERE vm_id = ?"
_RAN = "UPDATE vm SET wanted = ?, generation = ?, last_exit = ? WHERE vm_id = ?"
_INHERIT = "DELETE FROM port WHERE pool = ? AND number = ? AND vm_id IS NULL"
_GIVE_BACK = "DELETE FROM port WHERE pool = ? AND number = ? AND vm_id = ?"
_HOLD = "INSERT INTO port (pool, number, vm_id, project_id) VALUES (?, ?, ?, ?)"
_DELETED = "INSERT INTO deleted (vm_id, project_id, kind, committed) VALUES (?, ?, ?, 0)"
_DELETE_VALUE = "DELETE FROM value WHERE project_id = ? AND plugin = ? AND key = ? AND vm_id = ?"
_LEASE = "INSERT OR REPLACE INTO port (pool, number, project_id, boot, since) VALUES (?, ?, ?, ?, ?)"

with open("/proc/sys/kernel/random/boot_id") as _file:
    BOOT = _file.read().strip()


def insert(vm: "VM", *, is_known: bool) -> "list[Statement]":
    """A new VM. is_known: whether there may have been one of its id."""
    which = (vm.id, vm.lab.state.next_position(), vm.project_id, vm.driver.kind, vm.name)
    its = (json.dumps(vm.settings), vm.console, _nios(vm.nios), json.dumps(vm.leases), vm.status, vm.generation)
    forget = [("DELETE FROM deleted WHERE vm_id = ?", (vm.id,))] if is_known else []
    return [(_INSERT, (*which, *its)), *forget, *_ports(vm, numbers(vm.console, {}, vm.leases))]


def change(vm: "VM", **changes: Any) -> "list[Statement]":
    """The VM as it is, but for these changes of its name, settings, console, nios and leases; all its ports anew."""
    new = _with(vm, changes)
    return [_row(vm, new), _delete("port", vm), *_ports(vm, numbers(new["console"], new["nios"], new["leases"]))]


@asynccontextmanager
async def changed(vm: "VM", *also: "Statement", **changes: Any) -> AsyncIterator[None]:
    """Keep these changes, before the block makes them; if it fails they have never been.

    also: what else is to be written with them, and is true even if the block fails.

    Raises LabError, with nothing changed, when they cannot be kept.
    """
    new = _with(vm, changes)
    before = dict.fromkeys(numbers(vm.console, vm.nios, vm.leases))
    after = dict.fromkeys(numbers(new["console"], new["nios"], new["leases"]))
    back = [(_GIVE_BACK, (*port, vm.id)) for port in before if port not in after]
    await vm.lab.state.write([_row(vm, new), *back, *_ports(vm, [port for port in after if port not in before]), *also])
    try:
        yield
    except BaseException:
        vm.lab.state.note(("vm", vm.id), *change(vm, console=vm.console, nios=vm.nios))
        raise


def delete(vm: "VM") -> "list[Statement]":
    """A VM that is deleted; its directory waits for a commit."""
    row = (vm.id, vm.project_id, vm.driver.kind)
    keys = vm.lab.values.keys_of_vm(vm.project_id, vm.id)
    values = [(_DELETE_VALUE, (vm.project_id, plugin, key, vm.id)) for plugin, key in keys]
    return [_delete("vm", vm), _delete("port", vm), *values, (_DELETED, row)]


def note_run(vm: "VM") -> None:
    """How the VM runs, or ended."""
    if vm.left:
        return
    last = None if vm.last_exit is None else json.dumps(vm.last_exit)
    vm.lab.state.note(("run", vm.id), (_RAN, (vm.status, vm.generation, last, vm.id)))


def note_lease(lab: "Lab", number: int) -> None:
    """The lease of a UDP port that no VM has; those of VMs are kept with these, and other ones not at all."""
    if lab.ending:
        return
    whose = lab.project_owner("")
    if number not in lab.udp:
        lab.state.note(("lease", number), (_INHERIT, (UDP, number)))
    elif (owner := lab.udp.owner(number)) is None:
        lab.state.note(("lease", number), (_LEASE, (UDP, number, None, BOOT, lab.udp.unclaimed_since(number))))
    elif isinstance(owner, str) and owner.startswith(whose):
        lab.state.note(("lease", number), (_LEASE, (UDP, number, owner.removeprefix(whose), None, None)))


def adopted(vm: "VM", rport: int) -> "Statement":
    """The far end of a link, which was leased to nobody, is now the project's."""
    where = "WHERE pool = ? AND number = ? AND vm_id IS NULL"
    return f"UPDATE port SET project_id = ?, since = NULL {where}", (vm.project_id, UDP, rport)  # noqa: S608


def note_ports_back(vm: "VM") -> None:
    """The ports of the VM, whose project is being closed, are about to come back, and others may lease them at once."""
    if not vm.lab.ending:
        vm.lab.state.note(("ports", vm.id), _delete("port", vm))


def note_closed(lab: "Lab", project_id: str) -> None:
    """The project is closed: its VMs stay, its ports come back, directories of deleted VMs stay."""
    gone = [(f"DELETE FROM {table} WHERE project_id = ?", (project_id,)) for table in ("port", "deleted")]  # noqa: S608
    lab.state.note(("project", project_id), *gone)


def note_gone(lab: "Lab", project_id: str) -> None:
    """The project is gone, with all that was kept of it."""
    tables = ("vm", "port", "deleted", "value")
    gone = [(f"DELETE FROM {table} WHERE project_id = ?", (project_id,)) for table in tables]  # noqa: S608
    lab.state.note(("project", project_id), *gone)


def _with(vm: "VM", changes: Mapping[str, Any]) -> dict[str, Any]:
    """The members of the VM that are kept and may change, with these changes."""
    its: dict[str, Any] = {"name": vm.name, "settings": vm.settings, "console": vm.console}
    return {**its, "nios": vm.nios, "leases": vm.leases, **changes}


def _row(vm: "VM", its: Mapping[str, Any]) -> "Statement":
    """The row of the VM, with these members."""
    settings, nios, leases = json.dumps(its["settings"]), _nios(its["nios"]), json.dumps(its["leases"])
    return _CHANGE, (its["name"], settings, its["console"], nios, leases, vm.id)


def _delete(table: str, vm: "VM") -> "Statement":
    """What is in that table of the VM goes."""
    return f"DELETE FROM {table} WHERE project_id = ? AND vm_id = ?", (vm.project_id, vm.id)  # noqa: S608


def _nios(nios: Mapping[tuple[int, int], Mapping[str, Any]]) -> str:
    return json.dumps([[*port, nio] for port, nio in nios.items()])


def numbers(
    console: int | None, nios: Mapping[tuple[int, int], Mapping[str, Any]], leases: Mapping[str, Mapping[str, int]]
) -> list[tuple[str, int]]:
    """The ports of a VM with that console, these NIOs and leases: of each its pool and its number."""
    found = [(UDP, nio["lport"]) for nio in nios.values() if "lport" in nio]
    found += [(pool, number) for pool, ports in leases.items() for number in ports.values()]
    return found if console is None else [*found, (CONSOLE, console)]


def _ports(vm: "VM", ports: list[tuple[str, int]]) -> "list[Statement]":
    inherited = [(_INHERIT, port) for port in ports if port[0] == UDP]
    return [*inherited, *((_HOLD, (*port, vm.id, vm.project_id)) for port in ports)]


def since_now(boot: str, since: float) -> float:
    """A moment that was noted as of `boottime`; one before the system was started is that of its start."""
    return min(since, boottime()) if boot == BOOT else 0.0
