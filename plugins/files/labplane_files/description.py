"""The description of a lab, a JSON file in its archive: its VMs with their settings and links (F-8)."""

from typing import Any

from labplane import Lab, NotFound, Schema

DESCRIPTION = "labplane.json"
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
            }
        )
    return {"format": "labplane", "version": VERSION, "name": project["name"], "vms": vms}
