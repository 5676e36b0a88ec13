"""The routes and schemas that the kernel makes for each kind of VM."""

import inspect
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.websockets import WebSocket

from labplane.api.route import WEBSOCKET, Request, Route
from labplane.consoles import websocket as console_socket
from labplane.consoles.screen import NoDoor, Screen
from labplane.errors import Conflict, MethodNotAllowed, NotFound
from labplane.machines import capturing, lifecycle
from labplane.machines.capturing import can_capture
from labplane.machines.changes import CHANGE, CHANGES, DEFAULT, LIVE, NULL, ONLY_STOPPED, RESTART, SAVED_BY, asked
from labplane.machines.deleted_dirs import DeletedDirs
from labplane.machines.driver import CONSOLE_TYPES, ConsoleDriver, Driver, chooses_console
from labplane.machines.kind import Kind
from labplane.machines.lab import Lab
from labplane.machines.vm import STOPPED, VM
from labplane.net.nios import check_port, nio_schema
from labplane.validation.named import UUID, ref
from labplane.validation.schemas import Schema, check

ACTIONS: Mapping[str, Callable[[VM], Coroutine[Any, Any, None]]] = {
    "start": lifecycle.start,
    "stop": lifecycle.stop,
    "reload": lifecycle.reload,
    "suspend": lifecycle.suspend,
    "resume": lifecycle.resume,
}

WORD = re.compile(r"[a-z][a-z0-9_-]*")
RESERVED = frozenset({"name", "vm_id", "console", "project_id", "status", "vm_directory"})
ASYNC_METHODS = (
    *("check", "configure", "restore", "link", "show", "removed", "connect", "disconnect"),
    *("capture", "end_capture"),
)
PLAIN_METHODS = ("adapters", "ports", "normalise", "patience", "console_type")


class DriverError(ValueError):
    """A driver is refused; the text says why."""


def check_driver(driver: Driver, taken: Mapping[str, Kind]) -> None:
    """Raise DriverError or SchemaError unless `driver` can be added to the kinds that are `taken`."""
    if not isinstance(driver, Driver):
        raise DriverError(f"drivers() must give labplane.Driver objects, not {driver!r}")
    kind = getattr(driver, "kind", None)
    if not isinstance(kind, str) or not (kind.isascii() and kind.replace("_", "").isalnum() and kind.islower()):
        raise DriverError(f"{type(driver).__name__}.kind must be a lower-case word for the URL, not {kind!r}")
    if kind in taken:
        raise DriverError(f"the kind {kind!r} is taken by {type(taken[kind].driver).__module__}")
    reserved = RESERVED | more_members(driver).keys() - {"console_type"}  # which may be a setting, too
    for table in ("properties", "accepts", "readonly", "nios"):
        for name, schema in getattr(driver, table).items():
            if table != "nios" and name in reserved:
                raise DriverError(f"the {kind} {table} may not have {name!r}: it is the kernel's own")
            check(schema, f"{kind} {table} {name}")
            if (change := schema.get(CHANGE, RESTART)) not in CHANGES:
                raise DriverError(f"{kind} {table} {name}: {CHANGE} is one of {', '.join(CHANGES)}, not {change!r}")
            if not isinstance(line := schema.get(SAVED_BY, ""), str):
                raise DriverError(f"{kind} {table} {name}: {SAVED_BY} is a line for its console, not {line!r}")
            if NULL in schema and (schema[NULL] != DEFAULT or "default" not in schema):
                raise DriverError(f"{kind} {table} {name}: {NULL} can only be {DEFAULT!r}, and needs a default")
    for name in further_consoles(driver):
        if not WORD.fullmatch(name) or name == kind:
            raise DriverError(f"{kind}: the console {name!r} must be called by another lower-case word")
    if both := sorted(driver.properties.keys() & driver.accepts.keys()):
        raise DriverError(f"{kind} keeps and only accepts {both}; name each in one of properties and accepts")
    if unknown := sorted(set(driver.required) - driver.properties.keys() - driver.accepts.keys()):
        raise DriverError(f"{kind} requires {unknown}, which are none of its properties")
    for action in (*ACTIONS, *ASYNC_METHODS):
        method = getattr(driver, action, None)
        if method is not None and not inspect.iscoroutinefunction(method):
            raise DriverError(f"{kind}: {action} must be an async method")
    for name in PLAIN_METHODS:
        if inspect.iscoroutinefunction(getattr(driver, name)):
            raise DriverError(f"{kind}: {name} must be a plain method, not an async one")


def further_consoles(driver: Driver) -> Sequence[str]:
    """The names of the consoles that its VMs have besides their console."""
    return driver.consoles if isinstance(driver, ConsoleDriver) else ()


def actions_of(driver: Driver) -> list[str]:
    """The actions of a VM of that driver: start, stop, and those that it defines itself."""
    return [action for action in ACTIONS if hasattr(driver, action)]


def schema_name(driver: Driver, what: str) -> str:
    """The name of one of the driver's schemas: VpcsCreate, VpcsUpdate, VpcsNIO or VpcsVM."""
    return "".join(word.capitalize() for word in driver.kind.split("_")) + what


def vm_schemas(driver: Driver) -> Mapping[str, Schema]:
    """The schemas of create and update requests, NIOs and VM objects, by name."""
    moves = LIVE if isinstance(driver, ConsoleDriver) else ONLY_STOPPED
    console: Mapping[str, Schema] = {"console": {**ref("PortNumberOrNull"), CHANGE: moves}} if driver.console else {}
    own = {"name": {**ref("Name"), CHANGE: LIVE}, **console, **asked(driver)}
    return {
        schema_name(driver, "Create"): {
            "type": "object",
            "properties": {
                "vm_id": {**UUID, "type": ["string", "integer"]},
                **own,
            },
            "required": ["name", *driver.required],
            "additionalProperties": False,
        },
        schema_name(driver, "Update"): {
            "type": "object",
            "properties": {**own, "name": {**ref("NameOrNull"), CHANGE: LIVE}},
            "additionalProperties": False,
        },
        schema_name(driver, "NIO"): {
            **nio_schema(driver.nios),
            CHANGE: LIVE if hasattr(driver, "connect") else RESTART,
        },
        schema_name(driver, "VM"): {
            "type": "object",
            "properties": {
                "name": ref("Name"),
                "vm_id": ref("UUID"),
                "project_id": ref("UUID"),
                "status": {"enum": ["stopped", "started", "suspended"]},
                "vm_directory": {"type": "string"},
                **({"console": ref("PortNumber")} if driver.console else {}),
                **more_members(driver),
                **driver.properties,
                **driver.readonly,
            },
            "required": ["name", "vm_id", "project_id", "status"],
            "additionalProperties": False,
        },
    }


def more_members(driver: Driver) -> Mapping[str, Schema]:
    """The members that the kernel adds to the VM objects of drivers that boot or capture."""
    ready: Mapping[str, Schema] = {"ready": {"type": "boolean"}} if driver.boots else {}
    captures: Schema = {"type": "array", "items": ref("CaptureAtPort")}
    screens: Mapping[str, Schema] = {"console_type": {"enum": list(CONSOLE_TYPES)}} if chooses_console(driver) else {}
    ports = {name: ref("PortNumber") for name in further_consoles(driver)}
    further: Mapping[str, Schema] = {"consoles": {"type": "object", "properties": ports}} if ports else {}
    return {**ready, **screens, **further, **({"captures": captures} if can_capture(driver) else {})}


def vm_routes(lab: Lab, kind: Kind, deleted: DeletedDirs) -> list[Route]:
    """The routes of one kind: create, list, show, update, delete, the driver's actions, NIOs, the console."""
    driver, name = kind.driver, kind.driver.kind
    vms = f"/v1/projects/{{project_id}}/{name}/vms"
    vm = vms + "/{vm_id}"
    nio = vm + "/adapters/{adapter:int}/ports/{port:int}/nio"

    def schema(what: str) -> Schema:
        return ref(schema_name(driver, what))

    def route(method: str, path: str, endpoint: Callable[..., Any], summary: str, **more: Any) -> Route:
        return Route(method, path, endpoint, summary=f"{summary} a {name} VM", kind=name, **more)

    shown = {"reply": schema("VM")}
    plugged = {"body": schema("NIO"), "reply": schema("NIO")}
    routes = [
        route(
            "POST",
            vms,
            partial(_create, lab, kind, deleted),
            "Create",
            body=schema("Create"),
            **shown,
            status=201,
            refusals=(409,),
        ),
        Route(
            "GET",
            vms,
            partial(_list, lab, driver),
            reply={"type": "array", "items": schema("VM")},
            summary=f"List {name} VMs",
        ),
        route("GET", vm, _show, "Show", **shown),
        route("PUT", vm, _update, "Change", body=schema("Update"), **shown, refusals=(409,)),
        route("DELETE", vm, partial(_delete, deleted), "Delete", status=204),
        route("GET", vm + "/ports", _ports, "List the ports of", reply={"type": "array", "items": ref("VMPort")}),
        route("GET", nio, _nio, "Show what is plugged into", reply=schema("NIO"), refusals=(409,)),
        route("POST", nio, _plug, "Plug a link into", **plugged, status=201, refusals=(409,)),
        route("DELETE", nio, _unplug, "Unplug a link from", status=204, refusals=(409,)),
    ]
    if driver.console:
        routes.append(route(WEBSOCKET, f"{vm}/console", _view, "View the console of", status=101, refusals=(409,)))
    if further := further_consoles(driver):
        routes.append(
            route(
                WEBSOCKET,
                f"{vm}/consoles/{{console_name}}",
                _view_further,
                f"View {' or '.join(further)}, a further console of",
                status=101,
                refusals=(404, 409),
            )
        )
    if can_capture(driver):
        port = vm + "/adapters/{adapter:int}/ports/{port:int}"
        begins = {"body": ref("Capture"), "reply": ref("CaptureFile"), "refusals": (400, 409)}
        ends: dict[str, Any] = {"status": 204, "refusals": (409,)}
        routes.append(route("POST", f"{port}/start_capture", _capture, "Capture at a port of", **begins))
        routes.append(route("POST", f"{port}/stop_capture", _end_capture, "End a capture of", **ends))
    for action in ACTIONS:
        can = action in actions_of(driver)
        more = {"status": 204, "refusals": (409,) if can else (405,), "offered": can}
        routes.append(route("POST", f"{vm}/{action}", partial(_act, action), action.capitalize(), **more))
    return routes


async def _create(lab: Lab, kind: Kind, deleted: DeletedDirs, request: Request) -> Any:
    return await lifecycle.create(lab, kind, deleted, request.project_id, request.body, VM.to_object)


async def _list(lab: Lab, driver: Driver, request: Request) -> Any:
    vms = [vm for vm in lab.vms.of(request.project_id) if vm.driver is driver and vm.listed]
    return [await vm.to_object() for vm in vms]


async def _show(request: Request) -> Any:
    return await _vm(request).to_object()


async def _update(request: Request) -> Any:
    vm = _vm(request)
    await lifecycle.update(vm, request.body)
    return await vm.to_object()


async def _delete(deleted: DeletedDirs, request: Request) -> None:
    await lifecycle.delete(_vm(request), deleted)


async def _view(request: Request, websocket: WebSocket) -> None:
    vm = _vm(request)
    session = vm.session
    if session is None or not session.alive:
        what = "does not run; start it first" if session is not None or vm.status == STOPPED else "has telnet only"
        raise Conflict(f"There is nobody at this console: {vm} {what}.")
    if isinstance(session.listener, Screen):
        await session.listener.view(websocket)
    elif isinstance(session.listener, NoDoor):
        raise Conflict(f"{vm} has no console that could be seen: its console_type is none.")
    else:
        await console_socket.view(session.console, websocket)


async def _view_further(request: Request, websocket: WebSocket) -> None:
    vm, name = _vm(request), request.path["console_name"]
    if name not in vm.consoles:
        raise NotFound(f"{vm} has no console {name!r}; it has {', '.join(vm.consoles)}.")
    found = [] if vm.session is None else [one for one in vm.session.companions if one.name == name and one.alive]
    if not found:
        raise Conflict(f"There is nobody at the console {name} of {vm}; start it first.")
    await console_socket.view(found[0].console, websocket)


async def _act(action: str, request: Request) -> None:
    vm = _vm(request)
    driver = vm.driver
    if not hasattr(driver, action):
        raise MethodNotAllowed(f"{driver.kind} VMs cannot {action}; they can {', '.join(actions_of(driver))}.")
    await ACTIONS[action](vm)


async def _ports(request: Request) -> Any:
    vm = _vm(request)
    return [{**asdict(one), "nio": vm.nios.get((one.adapter, one.port))} for one in vm.ports()]


async def _capture(request: Request) -> Any:
    path = await capturing.start(_vm(request), _port(request), request.body["capture_file_name"])
    return {"pcap_file_path": str(path)}


async def _end_capture(request: Request) -> None:
    vm, port = _vm(request), _port(request)
    if port not in vm.captures:
        check_port(port, vm.adapters(), str(vm))
    await capturing.end(vm, port)


async def _plug(request: Request) -> Any:
    await lifecycle.plug(_vm(request), _port(request), request.body)
    return request.body


async def _nio(request: Request) -> Any:
    vm, port = _vm(request), _port(request)
    check_port(port, vm.adapters(), str(vm))
    if (nio := vm.nios.get(port)) is None:
        raise NotFound(f"Nothing is plugged into port {port[1]} on adapter {port[0]} of {vm}.")
    return dict(nio)


async def _unplug(request: Request) -> None:
    await lifecycle.unplug(_vm(request), _port(request))


def _vm(request: Request) -> VM:
    vm = request.vm
    assert vm is not None  # noqa: S101 - the path has {vm_id}
    return vm


def _port(request: Request) -> tuple[int, int]:
    return request.path["adapter"], request.path["port"]
