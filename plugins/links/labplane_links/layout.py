"""Where the nodes of a lab stand and what is noted of them: a file in the project's directory."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labplane import ArchivePart, Arrival, BadRequest, Lab, Schema

Places = Mapping[str, Mapping[str, Any]]

FILE = "labplane-layout.json"
UNPLACED: Mapping[str, Any] = {"x": None, "y": None, "notes": ""}
COORDINATE: Schema = {"type": ["number", "null"], "minimum": -1e9, "maximum": 1e9}
PLACE: Mapping[str, Schema] = {"x": COORDINATE, "y": COORDINATE, "notes": {"type": "string", "maxLength": 10_000}}
SCHEMA: Schema = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": PLACE,
        "required": list(PLACE),
        "additionalProperties": False,
    },
}


class Layout:
    """The places of the nodes of each project, by the VM's id. Durable; a node without one is `UNPLACED`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._turn = asyncio.Lock()

    async def of(self, project_id: str) -> Places:
        """The places of a project's nodes, by the VM's id."""
        return await asyncio.to_thread(self._read, self._file(project_id))

    async def change(self, project_id: str, changes: Places) -> Places:
        """Take in changes by the VM's id; the places of these VMs. What is known of VMs that are gone is forgotten."""
        async with self._turn:
            known = await self.of(project_id)
            changed = {vm_id: {**known.get(vm_id, UNPLACED), **change} for vm_id, change in changes.items()}
            alive = {vm.id for vm in self._lab.vms.of(project_id)}
            kept = {vm_id: place for vm_id, place in known.items() if vm_id in alive}
            await asyncio.to_thread(_write, self._file(project_id), kept | changed)
        return changed

    def _file(self, project_id: str) -> Path:
        return self._lab.project_dir(project_id) / FILE

    def _read(self, file: Path) -> Places:
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            places: Places = self._lab.parse(data, SCHEMA, FILE)
        except BadRequest:  # somebody else wrote it
            return {}
        return places


def _write(file: Path, places: Places) -> None:
    draft = file.with_name(f".{file.name}.new")
    draft.write_text(json.dumps(places, indent=1, sort_keys=True))
    draft.replace(file)


class LayoutFile(ArchivePart):
    """The file of the layout, in which a project that travels may need other ids."""

    def adopt(self, root: Path, arrival: Arrival) -> Iterable[str]:
        file = root / FILE
        if not file.is_file():
            return
        try:
            places = json.loads(file.read_bytes())
            moved = {arrival.vm_ids.get(vm_id, vm_id): place for vm_id, place in places.items()}
        except (ValueError, AttributeError):
            yield f"{FILE} stays as it is, for it is no layout: positions and notes of nodes are not taken over."
            return
        file.write_text(json.dumps(moved, indent=1, sort_keys=True))
