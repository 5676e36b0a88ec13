"""The status of the server: everything that the status page shows, in one reply (R-1)."""

import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import psutil

from labplane import VM, Lab, NotFound, Schema

TEXT: Schema = {"type": "string"}
MAYBE: Schema = {"type": ["string", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


PLUGIN: Mapping[str, Schema] = {
    **dict.fromkeys(("name", "state", "distribution", "version"), TEXT),
    "kinds": _list(TEXT),
    "error": MAYBE,
    "faults": COUNT,
    "last_fault": MAYBE,
}
VM_STATUS = _object(
    {"vm_id": TEXT, "name": TEXT, "kind": TEXT, "status": TEXT, "console": {"type": ["integer", "null"]}}
)
PORTS = _object({"first": COUNT, "last": COUNT, "used": _list(COUNT), "free": COUNT})
STATUS = _object(
    {
        "version": TEXT,
        "api_version": TEXT,
        "uptime_seconds": {"type": "number"},
        "console_host": TEXT,
        "projects": _list(_object({"project_id": TEXT, "name": MAYBE, "vms": _list(VM_STATUS)})),
        "ports": _object({"console": PORTS, "udp": PORTS}),
        "plugins": _list(_object(PLUGIN)),
        "load": _object(
            {
                "average": {**_list({"type": "number"}), "description": "of the last 1, 5 and 15 minutes"},
                "processors": COUNT,
                "memory_total": {**COUNT, "description": "in bytes"},
                "memory_available": {**COUNT, "description": "in bytes"},
            }
        ),
    }
)


class Status:
    """The status of a server that starts now. It asks no driver and takes no lock, so it never waits for a VM."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._version = version("labplane")
        self._began = time.monotonic()

    async def shown(self) -> dict[str, Any]:
        """The status as it is now; it fits the schema `STATUS`."""
        lab = self._lab
        return {
            "version": self._version,
            "api_version": (await lab.ask("GET", "/v1/version"))["version"],
            "uptime_seconds": round(time.monotonic() - self._began, 1),
            "console_host": lab.settings.console_host,
            "projects": [
                {
                    "project_id": project["project_id"],
                    "name": project["name"],
                    "vms": [_vm(vm) for vm in lab.vms.of(project["project_id"]) if vm.listed],
                }
                for project in await self._projects()
            ],
            "ports": {"console": _ports(lab.consoles), "udp": _ports(lab.udp)},
            "plugins": [{key: one[key] for key in PLUGIN} for one in await lab.ask("GET", "/v1/plugins")],
            "load": _load(),
        }

    async def _projects(self) -> list[dict[str, Any]]:
        try:
            projects: list[dict[str, Any]] = await self._lab.ask("GET", "/v1/projects")
        except NotFound:  # no plugin here keeps projects
            return []
        return projects


def _vm(vm: VM) -> dict[str, Any]:
    return {"vm_id": vm.id, "name": vm.name, "kind": vm.driver.kind, "status": vm.status, "console": vm.console}


def _ports(pool: Any) -> dict[str, Any]:
    used = pool.leased()
    within = sum(pool.first <= number <= pool.last for number in used)
    return {"first": pool.first, "last": pool.last, "used": used, "free": pool.last - pool.first + 1 - within}


def _load() -> dict[str, Any]:
    memory = psutil.virtual_memory()
    return {
        "average": [round(average, 2) for average in os.getloadavg()],
        "processors": os.cpu_count() or 1,
        "memory_total": memory.total,
        "memory_available": memory.available,
    }
