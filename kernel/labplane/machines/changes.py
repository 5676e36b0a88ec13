"""What requests give to a VM: the settings that may come, in which form, and when a change of them is taken."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labplane.errors import BadRequest, Conflict, Forbidden
from labplane.machines.images import images_of
from labplane.machines.vm import STOPPED, VM
from labplane.net.nios import has_port
from labplane.validation.schemas import Schema

if TYPE_CHECKING:
    from labplane.machines.driver import Driver

CHANGE = "x-change"
SAVED_BY = "x-saved-by"
LIVE, RESTART, ONLY_STOPPED = "live", "restart", "stopped"
CHANGES = (LIVE, RESTART, ONLY_STOPPED)
NULL = "x-null"
DEFAULT = "default"


def given_settings(vm: VM, body: Mapping[str, Any]) -> dict[str, Any]:
    """The driver's own settings in a request, as the driver normalises them. Raises LabError."""
    driver = vm.driver
    given = {}
    for name, schema in (*driver.properties.items(), *driver.accepts.items()):
        if name in body:
            means_default = body[name] is None and schema.get(NULL) == DEFAULT
            given[name] = schema["default"] if means_default else body[name]
    taken = dict(vm.run(driver.normalise, given))
    try:
        images_of(vm, taken)
    except Forbidden as error:
        raise BadRequest(str(error)) from None
    return taken


def stored(vm: VM, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that a VM keeps."""
    return {name: value for name, value in given.items() if name in vm.driver.properties}


def check_change(vm: VM, changes: Mapping[str, Any]) -> None:
    """Raise Conflict when these settings cannot be changed now, for `vm` runs, or a link would lose its port."""
    driver = vm.driver
    if vm.status != STOPPED:
        for name, schema in (*driver.properties.items(), *driver.accepts.items()):
            if schema.get(CHANGE) == ONLY_STOPPED and name in changes and changes[name] != vm.settings.get(name):
                raise Conflict(f"The setting {name!r} of {vm} can only be changed while it is stopped; stop it first.")
    if vm.nios:
        adapters = vm.adapters(vm.settings | stored(vm, changes))
        for adapter, port in sorted(vm.nios):
            if not has_port((adapter, port), adapters):
                raise Conflict(
                    f"Port {port} of adapter {adapter} of {vm} is linked and would be gone with these settings; "
                    f"DELETE its NIO (adapters/{adapter}/ports/{port}/nio) first."
                )


def asked(driver: "Driver") -> dict[str, Schema]:
    """The schemas of the driver's own settings in requests, each with what a change of it needs."""
    own = {name: _asked(schema) for name, schema in driver.properties.items()}
    return own | {name: {**_asked(schema), "writeOnly": True} for name, schema in driver.accepts.items()}


def _asked(schema: Schema) -> Schema:
    full = {CHANGE: RESTART, **schema}
    if full.get(NULL) != DEFAULT:
        return full
    if "type" not in full and "enum" not in full:
        return {CHANGE: full[CHANGE], NULL: DEFAULT, "default": full["default"], "anyOf": [schema, {"type": "null"}]}
    if "type" in full:
        kinds = full["type"]
        full["type"] = [*([kinds] if isinstance(kinds, str) else kinds), "null"]
    if "enum" in full:
        full["enum"] = [*full["enum"], None]
    return full
