"""What the keeper is told of a VM's program, and tells the next server."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labplane.machines.vm import VM


def note_of(vm: "VM", command: Sequence[str], *, confined: bool) -> dict[str, Any]:
    """All of a run that the state of the lab does not have, in JSON types."""
    names = {"kind": vm.driver.kind, "project_id": vm.project_id, "name": vm.name}
    return {**names, "command_line": " ".join(command), "lports": sorted(vm.lent), "confined": confined}
