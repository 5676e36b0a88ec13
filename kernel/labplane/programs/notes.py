"""What the keeper is told of a VM's program, and tells the next server."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labplane.emulators.session import Session
    from labplane.machines.vm import VM


def note_of(
    vm: "VM", session: "Session", command: Sequence[str], companion: str | None, *, confined: bool
) -> dict[str, Any]:
    """All of a run that the state of the lab does not have, in JSON types.

    companion: the name of the companion that the run is, None for the program of `vm` itself.
    """
    name = vm.name if companion is None else f"{vm.name} ({companion})"
    names = {"kind": vm.driver.kind, "project_id": vm.project_id, "name": name}
    companions = [one.name for one in session.companions]
    more = {"lports": sorted(vm.lent), "confined": confined, "companions": companions}
    return {**names, "command_line": " ".join(command), **more}
