"""The topology file of GNS3's programs, and what becomes of it when its project travels (F-8, F-13).

A topology says in `revision` which members it has: none or up to 4 is GNS3 1.x, with `topology.servers` and nodes that
refer to one by `server_id`; from 5 on it is GNS3 2.x and later, with `topology.computes` instead.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from labplane import ArchivePart, Arrival
from labplane_gns3.jsontext import JSONText, Place

SUFFIX = ".gns3"
TRAVELLING = "project.gns3"
LARGEST = 64 * 1024 * 1024
LAST_WITH_SERVERS = 4

_uuid = re.compile(r"(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f-])", re.IGNORECASE)
_name = re.compile(r"[^/\\\x00-\x1f\x7f\ud800-\udfff.][^/\\\x00-\x1f\x7f\ud800-\udfff]*\Z")


class TopologyFile(ArchivePart):
    """The topology file: `<name of the project>.gns3` in the project, `project.gns3` in an archive."""

    def makes_lab(self, name: str) -> bool:
        return name.endswith(SUFFIX)

    def names(self, root: Path) -> Mapping[str, str]:
        file = _topology_of(root)
        return {file.name: TRAVELLING} if file is not None else {}

    def project_name(self, root: Path) -> str | None:
        file = _topology_of(root)
        if file is None:
            return None
        own = None if file.name == TRAVELLING else file.name.removesuffix(SUFFIX) or None
        try:
            text = JSONText(_read(file))
            name = text.string(text.members(text.root)["name"])
        except (ValueError, KeyError):
            return own
        return name or own

    def adopt(self, root: Path, arrival: Arrival) -> Iterable[str]:
        file = _topology_of(root)
        if file is None:
            return
        try:
            old = _read(file)
            new = _adopted(old, arrival)
        except ValueError as error:
            yield f"The topology file {file.name[:200]!r} stays as it is, for it cannot be read: {error}."
            return
        if new != old:
            file.write_bytes(new.encode("utf-8"))
        named = f"{arrival.name}{SUFFIX}"
        if arrival.name is not None and _can_be_named(named) and not (root / named).exists():
            file.rename(root / named)


def _topology_of(root: Path) -> Path | None:
    """The project's topology file; None when there is none, or when it is not clear which one it is."""
    files = [path for path in root.glob(f"*{SUFFIX}") if path.is_file()]
    named = [path for path in files if path.name == TRAVELLING] or files
    return named[0] if len(named) == 1 else None


def _read(file: Path) -> str:
    """The text of a topology file, as it is. Raises ValueError."""
    if file.stat().st_size > LARGEST:
        raise ValueError(f"it is larger than {LARGEST} bytes")
    return file.read_bytes().decode("utf-8")


def _adopted(whole: str, arrival: Arrival) -> str:
    """The topology with the project's id and name, the new ids of its VMs, and in GNS3 1.x with this one server.

    Changes nothing but these members, each only if the topology has it. Raises ValueError when it is no topology.
    """
    mark = "\ufeff" if whole.startswith("\ufeff") else ""
    ids = {old: new for old, new in arrival.vm_ids.items() if old != new}
    text = JSONText(_uuid.sub(lambda found: ids.get(found[0].lower(), found[0]), whole.removeprefix(mark)))
    members = text.members(text.root)
    topology = members.get("topology")
    if topology is None or text.raw(topology)[0] != "{":
        raise ValueError("it is no topology of GNS3")
    for name, value in (("project_id", arrival.project_id), ("name", arrival.name)):
        there = members.get(name)
        if there is not None and value is not None and text.string(there) != value:
            text.replace(there, json.dumps(value))
    if _has_servers(text, members):
        _use_one_server(text, topology)
    return mark + text.changed()


def _has_servers(text: JSONText, members: Mapping[str, Place]) -> bool:
    revision = text.raw(members["revision"]) if "revision" in members else "1"
    return revision.isdigit() and len(revision) < 4 and int(revision) <= LAST_WITH_SERVERS


def _use_one_server(text: JSONText, topology: Place) -> None:
    """Have all nodes on one server, the local one: that of the topology if it has one, else one that is added."""
    members = text.members(topology)
    servers = text.items(members["servers"]) if "servers" in members else []
    nodes = [text.members(node) for node in text.items(members["nodes"])] if "nodes" in members else []
    placed = [node["server_id"] for node in nodes if "server_id" in node]
    local = [server for server in servers if _is_local(text, server)]
    if local:
        one, number = text.raw(local[0]), text.raw(text.members(local[0])["id"])
    elif servers or placed:
        knows_vm = not servers or any("vm" in text.members(server) for server in servers)
        one, number = '{"id": 1, "local": true' + (', "vm": false}' if knows_vm else "}"), "1"
    else:
        return
    if "servers" not in members:
        text.insert(topology, "servers", f"[{one}]")
    elif len(servers) != 1 or not local:
        text.replace(members["servers"], f"[{one}]")
    for place in placed:
        if text.raw(place) != number:
            text.replace(place, number)


def _is_local(text: JSONText, server: Place) -> bool:
    members = text.members(server)
    flags = {name: text.value(members[name]) for name in ("local", "vm") if name in members}
    return "id" in members and flags.get("local") is True and flags.get("vm", False) is False


def _can_be_named(file: str) -> bool:
    return _name.match(file) is not None and len(file.encode()) <= 255
