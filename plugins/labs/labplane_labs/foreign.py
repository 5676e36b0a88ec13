"""Labs of other programs as lab files: topologies of GNS3 1.x and 2.x, and files of containerlab.

Whatever has no place in a lab of labplane is named in `Taken.left_out`; nothing is dropped without a word.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labplane_labs.reading import BadFile, Problem, read

LARGEST = 64 * 1024 * 1024
LARGEST_SCRIPT = 64 * 1024
GNS3_KINDS = {"ethernet_switch": "switch", "EthernetSwitch": "switch", "VPCSDevice": "vpcs"}
Script = Callable[[str], str | None]


@dataclass
class Taken:
    """A lab that was taken over. data: of the lab file; left_out: a sentence for all that was not."""

    data: dict[str, Any]
    left_out: list[str] = field(default_factory=list)


def take(path: Path, kinds: Sequence[str]) -> Taken:
    """The lab in a .gns3project, .gns3 or containerlab file, with VMs of these kinds. Raises BadFile."""
    if zipfile.is_zipfile(path):
        return _archive(path, kinds)
    if path.suffix == ".gns3":
        if path.stat().st_size > LARGEST:
            raise _bad(path, f"is longer than {LARGEST} bytes.")
        return gns3(_json(path, path.read_bytes()), path.stem, kinds, _beside(path.parent))
    document = read(path)
    if not isinstance(document.data, dict) or not isinstance(document.data.get("topology"), dict):
        raise _bad(path, "is neither a .gns3project, nor a .gns3 file, nor one of containerlab, which has a topology.")
    return containerlab(document.data, path.stem.removesuffix(".clab"), kinds, path.parent)


def _archive(path: Path, kinds: Sequence[str]) -> Taken:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if "/" not in name and name.endswith(".gns3")]
        if len(names) != 1:
            raise _bad(path, "has no topology of GNS3 at its top.")

        def script(name: str) -> str | None:
            try:
                with archive.open(name) as file:
                    return file.read(LARGEST_SCRIPT + 1)[:LARGEST_SCRIPT].decode(errors="replace")
            except KeyError:
                return None

        with archive.open(names[0]) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise _bad(path, f"has a topology that is longer than {LARGEST} bytes.")
        taken = gns3(_json(path, data), path.stem, kinds, script)
        used = {name for name in archive.namelist() if name.endswith("/startup.vpc")} | set(names)
        if others := sorted(name for name in archive.namelist() if name not in used and not name.endswith("/")):
            shown = ", ".join(others[:10]) + (f" and {len(others) - 10} more" if len(others) > 10 else "")
            taken.left_out.append(f"files in the archive: {shown}")
        return taken


def _beside(folder: Path) -> Script:
    def script(name: str) -> str | None:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            return None
        return file.read_bytes()[:LARGEST_SCRIPT].decode(errors="replace")

    return script


def gns3(topology: Any, name: str, kinds: Sequence[str], script: Script) -> Taken:
    """The lab of a GNS3 topology; script: the text of a file of the project, by its path."""
    try:
        return _Gns3(topology, kinds, script).taken(name)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _bad(Path(name), f"is no topology of GNS3: {type(error).__name__} {error}.") from None


class _Gns3:
    """GNS3 2.x has `node_type` and links with `nodes`; 1.x has `type`, and links between ports that have ids."""

    def __init__(self, topology: Any, kinds: Sequence[str], script: Script) -> None:
        self._whole, self._kinds, self._script = topology, kinds, script
        self._names: dict[Any, str] = {}
        self._left: list[str] = []
        self._nodes: dict[str, dict[str, Any]] = {}
        self._highest: dict[str, int] = {}

    def taken(self, name: str) -> Taken:
        topology = self._whole["topology"]
        for node in topology.get("nodes", []):
            self._node(node)
        links = [link for one in topology.get("links", []) if (link := self._link(one)) is not None]
        for node, highest in self._highest.items():
            if self._nodes[node]["kind"] == "switch":
                self._nodes[node]["ports"] = max(8, highest + 1)
        for what in ("drawings", "notes", "images", "ellipses", "rectangles"):
            if count := len(topology.get(what, [])):
                self._left.append(f"{count} {what} of the canvas")
        lab = _named(str(self._whole.get("name") or name), "lab", ())
        return Taken({"name": lab, "nodes": self._nodes, "links": links}, self._left)

    def _node(self, node: Mapping[str, Any]) -> None:
        properties = node.get("properties") or {}
        label = str(node.get("name") or properties.get("name") or "node")
        foreign = str(node.get("node_type") or node["type"])
        kind = GNS3_KINDS.get(foreign, foreign)
        if kind not in self._kinds:
            self._left.append(f"the node {label!r}: there is no kind {foreign!r} here")
            return
        name = _named(label, "node", self._nodes)
        if name != label:
            self._left.append(f"the name {label!r}, in place of which the node is called {name!r}")
        made: dict[str, Any] = {"kind": kind}
        if kind == "vpcs" and (text := self._startup(node, properties)):
            made["startup"] = text
        vlans = [port for port in properties.get("ports_mapping", node.get("ports", [])) if _has_vlan(port)]
        if vlans:
            self._left.append(f"the VLANs of {name}: {len(vlans)} of its ports are not plain ones")
        if isinstance(node.get("x"), int | float) and isinstance(node.get("y"), int | float):
            made["position"] = [node["x"], node["y"]]
        self._nodes[name] = made
        self._names[node.get("node_id", node.get("id"))] = name
        for port in node.get("ports", []):
            if "id" in port:  # 1.x, where links name ports by their ids
                self._names[("port", node.get("id"), port["id"])] = str(_number(port))

    def _startup(self, node: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
        if text := properties.get("startup_script"):
            return str(text)
        vm_id = node.get("node_id") or node.get("vm_id")
        return self._script(f"project-files/vpcs/{vm_id}/startup.vpc")

    def _link(self, link: Mapping[str, Any]) -> list[str] | None:
        if "nodes" in link:
            ends = [
                (end["node_id"], f"{end.get('adapter_number', 0)}/{end.get('port_number', 0)}") for end in link["nodes"]
            ]
        else:
            ids = [(link[f"{side}_node_id"], link[f"{side}_port_id"]) for side in ("source", "destination")]
            ends = [(node, self._names.get(("port", node, port), "0")) for node, port in ids]
        if any(node not in self._names for node, _ in ends) or len(ends) != 2:
            there = [self._names[node] for node, _ in ends if node in self._names]
            self._left.append(f"a link of {' and '.join(there) or 'nodes'} to what is left out")
            return None
        made = []
        for node, port in ends:
            name = self._names[node]
            number = int(port.rpartition("/")[2])
            self._highest[name] = max(self._highest.get(name, 0), number)
            made.append(name if self._nodes[name]["kind"] == "vpcs" else f"{name}:{port}")
        return made


def _has_vlan(port: Mapping[str, Any]) -> bool:
    return bool(port.get("type", "access") != "access" or port.get("vlan", 1) != 1)


def _number(port: Mapping[str, Any]) -> int:
    """The number of a port of 1.x from 0 on; those of its switches begin with 1."""
    number = int(port.get("port_number", 0))
    return number - 1 if "vlan" in port and number > 0 else number


def containerlab(data: Mapping[str, Any], name: str, kinds: Sequence[str], folder: Path) -> Taken:
    """The lab of a containerlab file, whose data ports are numbered from eth1 on."""
    topology = data["topology"]
    defaults = topology.get("defaults") or {}
    taken = Taken({"name": _named(str(data.get("name") or name), "lab", ()), "nodes": {}, "links": []})
    for label, given in (topology.get("nodes") or {}).items():
        own = given or {}
        kind = own.get("kind", defaults.get("kind"))
        if kind not in kinds:
            taken.left_out.append(f"the node {label!r}: there is no kind {kind!r} here")
            continue
        whole = {**defaults, **((topology.get("kinds") or {}).get(kind) or {}), **own}
        made: dict[str, Any] = {"kind": kind}
        if (startup := whole.pop("startup-config", None)) is not None:
            text = startup if "\n" in str(startup) else _beside(folder)(str(startup))
            if text is None:
                taken.left_out.append(f"the startup-config of {label}: {startup} is no file below {folder}")
            else:
                made["startup"] = text
        if ignored := sorted(set(whole) - {"kind"}):
            taken.left_out.append(f"of the node {label}: {', '.join(ignored)}")
        taken.data["nodes"][_named(label, "node", taken.data["nodes"])] = made
    for link in topology.get("links") or []:
        ends = link.get("endpoints") if isinstance(link, Mapping) else None
        if not isinstance(ends, list) or len(ends) != 2 or not all(isinstance(end, str) for end in ends):
            taken.left_out.append(f"a link: {json.dumps(link)[:200]}")
            continue
        if any(end.partition(":")[0] not in taken.data["nodes"] for end in ends):
            taken.left_out.append(f"the link {' -- '.join(ends)}, of whose ends one is left out")
            continue
        taken.data["links"].append(list(_endpoints(ends)))
    if others := sorted(set(data) - {"name", "topology"}):
        taken.left_out.append(f"of the file: {', '.join(others)}")
    return taken


def _endpoints(ends: Sequence[str]) -> Iterator[str]:
    for end in ends:
        node, _, port = end.partition(":")
        number = re.fullmatch(r"(?:eth|e1-)(\d+)", port)
        yield f"{node}:{int(number[1]) - 1}" if number and int(number[1]) > 0 else end


def _named(label: str, what: str, taken: Mapping[str, Any] | Sequence[str]) -> str:
    """`label` as lab files can have it, and as no other of `taken` is called."""
    plain = re.sub("[^A-Za-z0-9_.-]+", "-", label).strip("-_.")[:55] or what
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


def _json(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise _bad(path, f"is no JSON: {error}.") from None


def _bad(path: Path, message: str) -> BadFile:
    return BadFile([Problem(str(path), 0, 0, message)])
