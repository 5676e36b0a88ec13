"""Labs of GNS3 1.x and 2.x."""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labplane_labs.taken import LARGEST_SCRIPT, Kinds, Script, Taken, bad, beside, named

LARGEST = 64 * 1024 * 1024
GNS3_KINDS = {"ethernet_switch": "switch", "EthernetSwitch": "switch", "VPCSDevice": "vpcs"}
TAKEN_OTHERWISE = ("name", "console", "startup_script", "startup_script_path", "ports_mapping")


def topology(path: Path, schema: Mapping[str, Any]) -> Taken:
    """The lab in a .gns3 file."""
    if path.stat().st_size > LARGEST:
        raise bad(path, f"is longer than {LARGEST} bytes.")
    return gns3(_json(path, path.read_bytes()), path.stem, schema, beside(path.parent))


def archive(path: Path, schema: Mapping[str, Any]) -> Taken:
    """The lab in a .gns3project file."""
    with zipfile.ZipFile(path) as zipped:
        names = [name for name in zipped.namelist() if "/" not in name and name.endswith(".gns3")]
        if len(names) != 1:
            raise bad(path, "has no topology of GNS3 at its top.")

        def script(name: str) -> str | None:
            try:
                with zipped.open(name) as file:
                    return file.read(LARGEST_SCRIPT + 1)[:LARGEST_SCRIPT].decode(errors="replace")
            except KeyError:
                return None

        with zipped.open(names[0]) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise bad(path, f"has a topology that is longer than {LARGEST} bytes.")
        taken = gns3(_json(path, data), path.stem, schema, script)
        used = {name for name in zipped.namelist() if name.endswith("/startup.vpc")} | set(names)
        if others := sorted(name for name in zipped.namelist() if name not in used and not name.endswith("/")):
            shown = ", ".join(others[:10]) + (f" and {len(others) - 10} more" if len(others) > 10 else "")
            taken.left_out.append(f"files in the archive: {shown}")
        return taken


def gns3(topology: Any, name: str, schema: Mapping[str, Any], script: Script) -> Taken:
    """The lab of a GNS3 topology; script: the text of a file of the project, by its path."""
    try:
        return _Gns3(topology, schema, script).taken(name)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise bad(Path(name), f"is no topology of GNS3: {type(error).__name__} {error}.") from None


class _Gns3:
    """GNS3 2.x has `node_type` and links with `nodes`; 1.x has `type`, and links between ports that have ids."""

    def __init__(self, topology: Any, schema: Mapping[str, Any], script: Script) -> None:
        self._whole, self._kinds, self._script = topology, Kinds(schema), script
        self._names: dict[Any, str] = {}
        self._left: list[str] = []
        self._nodes: dict[str, dict[str, Any]] = {}
        self._highest: dict[str, int] = {}
        self._linked: set[str] = set()

    def taken(self, name: str) -> Taken:
        topology = self._whole["topology"]
        for node in topology.get("nodes", []):
            self._node(node)
        links = [link for one in topology.get("links", []) if (link := self._link(one)) is not None]
        for node, highest in self._highest.items():
            self._nodes[node] |= self._kinds.room(self._nodes[node], highest)
        for what in ("drawings", "notes", "images", "ellipses", "rectangles"):
            if count := len(topology.get(what, [])):
                self._left.append(f"{count} {what} of the canvas")
        if self._nodes:
            self._left.append("the console ports, symbols and labels of the nodes")
        if own := [what for what in ("variables", "auto_start", "supplier") if self._whole.get(what)]:
            self._left.append(f"of the project: {', '.join(own)}")
        lab = named(str(self._whole.get("name") or name), "lab", ())
        return Taken({"name": lab, "nodes": self._nodes, "links": links}, self._left)

    def _node(self, node: Mapping[str, Any]) -> None:
        properties = node.get("properties") or {}
        label = str(node.get("name") or properties.get("name") or "node")
        foreign = str(node.get("node_type") or node.get("type") or "of which the file does not say the type")
        kind = GNS3_KINDS.get(foreign, foreign)
        if kind not in self._kinds:
            self._left.append(f"the node {label!r}: there is no kind {foreign!r} here")
            return
        name = named(label, "node", self._nodes)
        if name != label:
            self._left.append(f"the name {label!r}, in place of which the node is called {name!r}")
        ports = properties.get("ports_mapping", node.get("ports", []))
        given = {key: value for key, value in properties.items() if key not in TAKEN_OTHERWISE}
        made, ignored = self._kinds.settings(kind, given)
        if kind == "vpcs" and (text := self._startup(node, properties)):
            made["startup"] = text
        if any(_has_vlan(port) for port in ports):
            if "vlans" in self._kinds.of(kind):
                made["vlans"] = dict(_vlans(ports))
                self._highest[name] = max(int(port.removeprefix("eth")) for port in made["vlans"])
            doubly = [port for port in ports if port.get("type", "access") not in ("access", "dot1q")]
            if doubly or "vlans" not in made:
                self._left.append(f"the VLANs of {name}: {len(doubly or ports)} of its ports are not plain ones")
        if ignored:
            self._left.append(f"of the node {name}: {', '.join(ignored)}")
        if isinstance(node.get("x"), int | float) and isinstance(node.get("y"), int | float):
            made["position"] = [node["x"], node["y"]]
        self._nodes[name] = {"kind": kind, **made}
        self._names[node.get("node_id", node.get("id"))] = name
        for port in node.get("ports", []):
            if "id" in port:  # 1.x, where links name ports by their ids
                self._names[("port", node.get("id"), port["id"])] = f"{port.get('adapter_number') or 0}/{_number(port)}"

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
            ends = [(node, self._names.get(("port", node, port), "0/0")) for node, port in ids]
        there = [f"{self._names[node]}:{port}" for node, port in ends if node in self._names]
        if len(there) != 2 or len(ends) != 2:
            self._left.append(f"a link of {' and '.join(there) or 'nodes'} to what is left out")
            return None
        if twice := [end for end in there if end in self._linked] or there[1:] * (there[0] == there[1]):
            self._left.append(f"the link {' -- '.join(there)}: there is one at {twice[0]} already")
            return None
        self._linked.update(there)
        if own := [what for what in ("filters", "suspend") if link.get(what)]:
            self._left.append(f"of the link {' -- '.join(there)}: {', '.join(own)}")
        for end in there:
            node, _, port = end.partition(":")
            adapter, number = (int(part) for part in port.split("/"))
            self._highest[node] = max(self._highest.get(node, 0), self._kinds.index(self._nodes[node], adapter, number))
        return [
            end.removesuffix(":0/0") if self._nodes[end.partition(":")[0]]["kind"] == "vpcs" else end for end in there
        ]


def _has_vlan(port: Mapping[str, Any]) -> bool:
    return bool(port.get("type", "access") != "access" or port.get("vlan", 1) != 1)


def _vlans(ports: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The VLANs of the ports that are not plain, by their names here; that of a trunk (`dot1q`) is its native one."""
    for port in ports:
        vlan, name = port.get("vlan", 1), f"eth{_number(port)}"
        if port.get("type", "access") == "access" and vlan != 1:
            yield name, vlan
        elif port.get("type") == "dot1q":
            yield name, "trunk" if vlan == 1 else {"native": vlan}


def _number(port: Mapping[str, Any]) -> int:
    """The number of a port of 1.x from 0 on; those of its switches begin with 1."""
    number = int(port.get("port_number", 0))
    return number - 1 if "vlan" in port and "id" in port and number > 0 else number


def _json(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise bad(path, f"is no JSON: {error}.") from None
