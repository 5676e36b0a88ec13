"""Where the nodes of a lab stand and what is noted of them: values of the project in the plugin's store."""

import asyncio
from collections.abc import Mapping
from typing import Any

from labplane import Lab, NotFound, Schema, Store

Place = Mapping[str, Any]
Places = Mapping[str, Place]

TOGETHER = "places"  # the key of all places of a project, before each node had a key of its own
UNPLACED: Place = {"x": None, "y": None, "notes": ""}
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
        places = dict(self._store.of(project_id).items())
        return {**places.pop(TOGETHER, {}), **places}

    async def change(self, project_id: str, changes: Places) -> Places:
        """Take in changes by the VM's id, all or none; the places of these VMs.

        Raises NotFound for a VM that was deleted meanwhile.
        """
        store = self._store.of(project_id)
        async with self._turn:
            for vm_id in changes:
                if self._lab.vms.get(vm_id) is None:
                    raise NotFound(f"The VM {vm_id} was deleted meanwhile.")
            earlier = store.get(TOGETHER, {})
            changed = {
                vm_id: {**store.get(vm_id, earlier.get(vm_id, UNPLACED)), **change} for vm_id, change in changes.items()
            }
            await asyncio.gather(*[store.put(vm_id, place, vm_id=vm_id) for vm_id, place in changed.items()])
        return changed
