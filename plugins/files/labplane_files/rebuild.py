"""The VMs of a description, made again in a project, with their old ids and ports where these are free (F-12)."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from labplane import BadRequest, Conflict, Lab, NotFound

log = logging.getLogger("labplane.files")

LOOPBACK = "127.0.0.1"


def new_ids(lab: Lab, project_id: str, vms: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The id that each VM will have, by its old one: the same, unless a VM or a closed project of this server has it.

    Raises BadRequest when two VMs have one id. Looks at the disk.
    """
    own = lab.project_dir(project_id)
    directories = lab.settings.projects_path.glob("*/project-files/*/*")
    on_disk = {directory.name for directory in directories if own not in directory.parents}
    ids: dict[str, str] = {}
    for vm in vms:
        old = vm["vm_id"].lower()
        if old in ids:
            raise BadRequest(f"The archive describes two VMs with the id {old}.")
        ids[old] = old if old not in on_disk and lab.vms.get(old) is None else str(uuid4())
    return ids


def require_kinds(lab: Lab, vms: Iterable[Mapping[str, Any]]) -> None:
    """Raise Conflict unless there is a driver for each VM."""
    for vm in vms:
        if vm["kind"] not in lab.drivers:
            raise Conflict(f"The VM {vm['name']!r} is a {vm['kind'][:40]!r}; no plugin here brings that kind.")


class Rebuilding:
    """The making of all VMs of one description.

    ids: the result of `new_ids`.
    """

    def __init__(self, lab: Lab, project_id: str, vms: list[dict[str, Any]], ids: Mapping[str, str]) -> None:
        self._lab = lab
        self.project_id = project_id
        self._vms = vms
        self._ids = ids
        self._made: list[tuple[str, str]] = []
        self._ports: dict[int, int] = {}

    async def run(self) -> None:
        """Make all VMs and link them. Raises LabErrors; the caller then has to call `undo`."""
        lab, owner = self._lab, f"the import into project {self.project_id}"
        # All consoles are reserved first, or a VM that needs another one could be given that of a later VM.
        reserved = {vm["console"] for vm in self._vms if self._reserve(vm["console"], owner)}
        try:
            for vm in self._vms:
                if vm["console"] in reserved:
                    lab.consoles.release(vm["console"], owner)
                await self._make(vm, vm["console"] if vm["console"] in reserved else None)
        finally:
            for console in reserved:
                lab.consoles.release(console, owner)
        nios = [link["nio"] for vm in self._vms for link in vm["links"] if "lport" in link["nio"]]
        self._renumber(nio["lport"] for nio in nios)
        ends = {(nio["lport"], nio.get("rport")) for nio in nios}
        for vm in self._vms:
            for link in vm["links"]:
                await self._link(vm, link, ends)
        places = [{**vm["place"], "vm_id": self._ids[vm["vm_id"].lower()]} for vm in self._vms if "place" in vm]
        if places:
            with suppress(NotFound):  # no plugin here keeps places
                path = "/v1/projects/{project_id}/topology"
                await lab.ask("PATCH", path, {"nodes": places}, project_id=self.project_id)

    async def undo(self) -> None:
        """Remove the VMs that `run` has made and release their ports."""
        for kind, vm_id in reversed(self._made):
            try:
                with suppress(NotFound):
                    await self._ask("DELETE", kind, vm_id=vm_id)
            except Exception:
                log.exception("the %s %s of a failed import could not be removed", kind, vm_id)
        for port in self._ports.values():
            self._lab.udp.release(port, self._lab.project_owner(self.project_id))

    async def _make(self, vm: Mapping[str, Any], console: int | None) -> None:
        kind, settings = vm["kind"], vm["settings"]
        driver = self._lab.drivers[kind]
        vm_id = self._ids[vm["vm_id"].lower()]
        body = {"name": vm["name"], "vm_id": vm_id, **{name: settings.get(name) for name in driver.required}}
        try:
            shown = await self._ask("POST", kind, body if console is None else {**body, "console": console})
        except Conflict:
            if console is None:
                raise
            shown = await self._ask("POST", kind, body)  # the console is not free after all
        self._made.append((kind, vm_id))
        # A setting that the VM found in its directory, such as its script, is not written again: it stays to the byte.
        changes = {name: value for name, value in settings.items() if shown.get(name) != value}
        if changes:
            await self._ask("PUT", kind, changes, vm_id=vm_id)

    async def _link(self, vm: Mapping[str, Any], link: Mapping[str, Any], ends: set[tuple[int, int | None]]) -> None:
        nio = dict(link["nio"])
        if "lport" in nio:
            within = (nio.get("rport"), nio["lport"]) in ends
            nio["lport"] = self._ports[nio["lport"]]
            if within:
                nio |= {"rport": self._ports[nio["rport"]], "rhost": LOOPBACK}
        vm_id = self._ids[vm["vm_id"].lower()]
        where = "/adapters/{adapter:int}/ports/{port:int}/nio"
        await self._ask("POST", vm["kind"], nio, where, vm_id=vm_id, adapter=link["adapter"], port=link["port"])

    def _renumber(self, ports: Iterable[int]) -> None:
        """Lease a UDP port for each port of the old lab, the same one if it is free."""
        udp, owner = self._lab.udp, self._lab.project_owner(self.project_id)
        wanted = set(ports)
        self._ports = {port: port for port in sorted(wanted) if self._claim(port, owner)}
        for port in sorted(wanted - self._ports.keys()):
            self._ports[port] = udp.lease(owner)

    def _claim(self, port: int, owner: str) -> bool:
        if port in self._lab.udp:
            return False
        try:
            self._lab.udp.reserve(port, owner)
        except Conflict:
            return False
        return True

    def _reserve(self, console: int | None, owner: str) -> bool:
        if console is None or console in self._lab.consoles:
            return False
        try:
            self._lab.consoles.reserve(console, owner)
        except Conflict:
            return False
        return True

    async def _ask(self, method: str, kind: str, body: Any = None, below: str = "", **parameters: Any) -> Any:
        path = f"/v1/projects/{{project_id}}/{kind}/vms" + ("/{vm_id}" if "vm_id" in parameters else "") + below
        return await self._lab.ask(method, path, body, project_id=self.project_id, **parameters)
