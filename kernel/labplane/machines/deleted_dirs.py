"""The directories of deleted VMs: they stay until their project is committed (M-12, P-11)."""

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labplane.state.state import State

if TYPE_CHECKING:
    from labplane.machines.vm import VM

log = logging.getLogger("labplane")

_COMMITTED = "UPDATE deleted SET committed = ? WHERE vm_id = ?"


class DeletedDirs:
    """The directories that a commit may remove, by project and VM id."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: dict[str, dict[str, Path]] = {}
        self._removals: dict[tuple[str, str], asyncio.Event] = {}

    def add(self, vm: "VM") -> None:
        """Take note that `vm` is deleted: its directory goes with the next commit."""
        self._waiting.setdefault(vm.project_id, {})[vm.id] = vm.dir

    def restore(self, project_id: str, vm_id: str, directory: Path) -> None:
        """Take note that a VM was deleted before the project was opened."""
        self._waiting.setdefault(project_id, {})[vm_id] = directory

    def forget(self, vm: "VM") -> bool:
        """Keep the directory of `vm`, which exists again; whether it waited for a commit."""
        return self._waiting.get(vm.project_id, {}).pop(vm.id, None) is not None

    def forget_all(self, project_id: str) -> None:
        """Keep all directories of the project, which is closed."""
        self._waiting.pop(project_id, None)

    def removal(self, project_id: str, vm_id: str) -> Awaitable[object] | None:
        """The end of the removal of that VM's directory, to be awaited; None while it is not being removed."""
        removal = self._removals.get((project_id, vm_id))
        return None if removal is None else removal.wait()

    async def commit(self, project_id: str) -> None:
        """Remove the directories of the project's deleted VMs. The next server goes on if this one ends meanwhile.

        Raises OSError when one cannot be removed; it waits for the next commit then, and the others are gone.
        """
        await self._remove(project_id, self._waiting.pop(project_id, {}))

    async def go_on(self, project_id: str, vm_ids: Collection[str]) -> None:
        """Remove the directories of these VMs, which an earlier server had begun with; a failure is logged."""
        waiting = self._waiting.get(project_id, {})
        try:
            await self._remove(project_id, {vm_id: waiting.pop(vm_id) for vm_id in vm_ids if vm_id in waiting})
        except OSError as error:
            log.warning("%s stays, for it cannot be removed: %s", error.filename, error.strerror)

    async def _remove(self, project_id: str, directories: Mapping[str, Path]) -> None:
        self._note(1, directories)
        events = {(project_id, vm_id): asyncio.Event() for vm_id in directories}
        self._removals |= events
        errors: dict[str, OSError] = {}
        for vm_id, directory in directories.items():
            try:
                await asyncio.to_thread(remove_tree, directory)
                self._state.note(("deleted", vm_id), ("DELETE FROM deleted WHERE vm_id = ?", (vm_id,)))
            except OSError as error:
                errors[vm_id] = error
            finally:
                self._removals.pop((project_id, vm_id)).set()
        self._note(0, errors)
        for vm_id in errors:
            self._waiting.setdefault(project_id, {})[vm_id] = directories[vm_id]
        if errors:
            raise next(iter(errors.values()))

    def _note(self, committed: int, vm_ids: Iterable[str]) -> None:
        for vm_id in vm_ids:
            self._state.note(("deleted", vm_id), (_COMMITTED, (committed, vm_id)))


def remove_tree(directory: Path) -> None:
    """Delete `directory` with all that is in it, if it exists. Raises OSError when something of it has to stay."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        if os.path.lexists(directory):
            raise
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)  # the rest of it
        if os.path.lexists(directory):
            raise
