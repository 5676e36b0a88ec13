"""Where the nodes of a lab stand and what is noted of them: values of the project in the plugin's store."""

import asyncio
from collections.abc import Mapping
from typing import Any

from labplane import Lab, Schema, Store

Places = Mapping[str, Mapping[str, Any]]

KEY = "places"
UNPLACED: Mapping[str, Any] = {"x": None, "y": None, "notes": ""}
COORDINATE: Schema = {"type": ["number", "null"], "minimum": -1e9, "maximum": 1e9}
PLACE: Mapping[str, Schema] = {"x": COORDINATE, "y": COORDINATE, "notes": {"type": "string", "maxLength": 10_000}}


class Layout:
    """The places of the nodes of each project, by the VM's id. Durable; a node without one is `UNPLACED`."""

    def __init__(self, lab: Lab, store: Store) -> None:
        self._lab = lab
        self._store = store
        self._turn = asyncio.Lock()

    def of(self, project_id: str) -> Places:
        """The places of a project's nodes, by the VM's id."""
        places: Places = self._store.of(project_id).get(KEY, {})
        return places

    async def change(self, project_id: str, changes: Places) -> Places:
        """Take in changes by the VM's id, all or none; the places of these VMs.

        What is known of VMs that are gone is forgotten.
        """
        async with self._turn:
            known = self.of(project_id)
            changed = {vm_id: {**known.get(vm_id, UNPLACED), **change} for vm_id, change in changes.items()}
            alive = {vm.id for vm in self._lab.vms.of(project_id)}
            kept = {vm_id: place for vm_id, place in known.items() if vm_id in alive}
            await self._store.of(project_id).put(KEY, {**kept, **changed})
        return changed
