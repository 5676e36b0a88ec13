"""The description of a lab, a JSON file in its archive: its VMs with their settings and links (F-8)."""

import json
from collections.abc import Mapping
from typing import Any

from labplane import Lab, NotFound, Schema

DESCRIPTION = "labplane.json"
PLACE: Mapping[str, Any] = {"x": None, "y": None, "notes": ""}  # of a node of which nothing is known
VERSION = 1

_PORT: Schema = {"$ref": "labplane:PortNumber"}
_NIO: Schema = {"type": "object", "properties": {"type": {"type": "string"}, "lport": _PORT, "rport": _PORT}}

# Kinds, settings and NIOs are checked in full by the routes that make the VMs again.
SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "format": {"const": "labplane"},
        "version": {"const": VERSION},
        "name": {"$ref": "labplane:NameOrNull"},
        "vms": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string"},
                    "vm_id": {"$ref": "labplane:UUID"},
                    "name": {"$ref": "labplane:Name"},
                    "console": {"$ref": "labplane:PortNumberOrNull"},
                    "settings": {"type": "object"},
                    "place": {"type": "object", "description": "x, y and notes, if it has any (K-3)"},
                    "links": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "adapter": {"type": "integer", "minimum": 0},
                                "port": {"type": "integer", "minimum": 0},
                                "nio": _NIO,
                            },
                            "required": ["adapter", "port", "nio"],
                        },
                    },
                },
                "required": ["kind", "vm_id", "name", "console", "settings", "links"],
            },
        },
    },
    "required": ["format", "version", "name", "vms"],
}


async def describe(lab: Lab, project_id: str) -> dict[str, Any]:
    """The description of the project as it is now; it fits SCHEMA."""
    project = await lab.ask("GET", "/v1/projects/{project_id}", project_id=project_id)
    places = await _places(lab, project_id)
    vms = []
    for vm in lab.vms.of(project_id):
        path = f"/v1/projects/{{project_id}}/{vm.driver.kind}/vms/{{vm_id}}"
        try:
            shown = await lab.ask("GET", path, project_id=project_id, vm_id=vm.id)
        except NotFound:  # deleted meanwhile
            continue
        vms.append(
            {
                "kind": vm.driver.kind,
                "vm_id": vm.id,
                "name": vm.name,
                "console": vm.console,
                "settings": {name: shown.get(name) for name in vm.driver.properties},
                "links": [
                    {"adapter": adapter, "port": port, "nio": dict(nio)}
                    for (adapter, port), nio in sorted(vm.nios.items())
                ],
                **({"place": places[vm.id]} if vm.id in places else {}),
            }
        )
    return {"format": "labplane", "version": VERSION, "name": project["name"], "vms": vms}


async def _places(lab: Lab, project_id: str) -> dict[str, Any]:
    """Where nodes stand and what is noted of them, by their ids, of those of which anything is known."""
    try:
        reply = await lab.ask("GET", "/v1/projects/{project_id}/topology", project_id=project_id)
    except NotFound:  # no plugin here keeps places
        return {}
    found = {node["vm_id"]: {name: node[name] for name in PLACE} for node in json.loads(bytes(reply.body))["nodes"]}
    return {vm_id: place for vm_id, place in found.items() if place != PLACE}
