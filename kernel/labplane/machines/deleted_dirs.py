"""The directories of deleted VMs: they stay until their project is committed (M-12, P-11)."""

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labplane.machines.vm import VM


class DeletedDirs:
    """Which directories a commit may remove, by project and VM id."""

    def __init__(self) -> None:
        self._directories: dict[str, dict[str, Path]] = {}
        self._being_removed: dict[str, asyncio.Event] = {}

    def add(self, vm: "VM") -> None:
        """`vm` was deleted; its directory goes with the next commit."""
        self._directories.setdefault(vm.project_id, {})[vm.id] = vm.dir

    def forget(self, vm: "VM") -> None:
        """A VM of that id exists again: its directory is in use."""
        self._directories.get(vm.project_id, {}).pop(vm.id, None)

    def forget_all(self, project_id: str) -> None:
        """The project is closed; what it left behind stays."""
        self._directories.pop(project_id, None)

    async def settle(self, vm_id: str) -> None:
        """Wait while a directory of that id is being removed."""
        while (removal := self._being_removed.get(vm_id)) is not None:
            await removal.wait()

    async def commit(self, project_id: str) -> None:
        """Remove the directories of the project's deleted VMs."""
        directories = self._directories.pop(project_id, {})
        self._being_removed |= {vm_id: asyncio.Event() for vm_id in directories}
        for vm_id, directory in directories.items():
            try:
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
            finally:
                self._being_removed.pop(vm_id).set()
