"""Labs of containerlab."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labplane_labs.taken import Kinds, Taken, beside, named

CLAB_KINDS = {"bridge": "switch", "ovs-bridge": "switch"}


def containerlab(data: Mapping[str, Any], name: str, schema: Mapping[str, Any], folder: Path) -> Taken:
    """The lab of a containerlab file."""
    return _Containerlab(data, Kinds(schema), folder).taken(name)


class _Containerlab:
    """Its data ports are called eth1 and so on, eth0 is for management; bridges of the host become switches."""

    def __init__(self, data: Mapping[str, Any], kinds: Kinds, folder: Path) -> None:
        self._data, self._kinds, self._folder = data, kinds, folder
        self._topology: Mapping[str, Any] = data["topology"]
        self._names: dict[str, str] = {}
        self._nodes: dict[str, dict[str, Any]] = {}
        self._left: list[str] = []

    def taken(self, name: str) -> Taken:
        for label, given in (self._topology.get("nodes") or {}).items():
            self._node(label, given or {})
        links = [link for one in self._topology.get("links") or [] if (link := self._link(one)) is not None]
        if others := sorted(set(self._data) - {"name", "topology"}):
            self._left.append(f"of the file: {', '.join(others)}")
        if others := sorted(set(self._topology) - {"defaults", "kinds", "nodes", "links"}):
            self._left.append(f"of the topology: {', '.join(others)}")
        lab = named(str(self._data.get("name") or name), "lab", ())
        return Taken({"name": lab, "nodes": self._nodes, "links": links}, self._left)

    def _node(self, label: str, own: Mapping[str, Any]) -> None:
        defaults = self._topology.get("defaults") or {}
        foreign = own.get("kind", defaults.get("kind"))
        kind = CLAB_KINDS.get(foreign, foreign)
        if kind not in self._kinds:
            self._left.append(f"the node {label!r}: there is no kind {foreign!r} here")
            return
        whole = {**defaults, **((self._topology.get("kinds") or {}).get(foreign) or {}), **own}
        whole.pop("kind", None)
        made: dict[str, Any] = {}
        takes_startup = "startup" in self._kinds.of(kind)
        if takes_startup and (config := whole.pop("startup-config", None)) is not None:
            text = config if "\n" in str(config) else beside(self._folder)(str(config))
            if text is None:
                self._left.append(f"the startup-config of {label}: {config} is no file below {self._folder}")
            else:
                made["startup"] = text
        if takes_startup and "startup" not in made and _are_texts(whole.get("exec")):
            made["startup"] = "".join(f"{line}\n" for line in whole.pop("exec"))
        if ignored := sorted(whole):
            self._left.append(f"of the node {label}: {', '.join(ignored)}")
        self._names[label] = name = named(label, "node", self._nodes)
        if name != label:
            self._left.append(f"the name {label!r}, in place of which the node is called {name!r}")
        self._nodes[name] = {"kind": kind, **made}

    def _link(self, link: Any) -> list[str] | None:
        given = link.get("endpoints") if isinstance(link, Mapping) else None
        ends = [_endpoint(end) for end in given] if isinstance(given, list) else []
        if len(ends) != 2 or None in ends or link.get("type", "veth") != "veth":
            self._left.append(f"a link: {json.dumps(link)[:200]}")
            return None
        if any(end.partition(":")[0] not in self._names for end in ends if end):
            self._left.append(f"the link {' -- '.join(map(str, ends))}, of whose ends one is left out")
            return None
        more = {key for end in given or [] if isinstance(end, Mapping) for key in end} - {"node", "interface"}
        if ignored := sorted((set(link) | more) - {"endpoints", "type"}):
            self._left.append(f"of the link {' -- '.join(map(str, ends))}: {', '.join(ignored)}")
        return [self._end(end) for end in ends if end]

    def _end(self, end: str) -> str:
        """An end, as a lab file has it. Programs in a node with cards know them by name, so eth1 is eth1 there."""
        label, _, port = end.partition(":")
        node = self._nodes[self._names[label]]
        found = re.fullmatch(r"(?:eth|e1-)(\d+)", port)
        if not found:
            self._left.append(f"the name {port!r} of a port of {label}; it is the lowest that is free")
            return self._names[label]
        number = int(found[1])
        if "adapters" not in self._kinds.of(node["kind"]):
            number = max(number - 1, 0)
        node |= self._kinds.room(node, number)
        return f"{self._names[label]}:{number}"


def _endpoint(end: Any) -> str | None:
    """An end in its short form, NODE:PORT; None for what is none."""
    if isinstance(end, Mapping) and isinstance(end.get("node"), str) and isinstance(end.get("interface"), str):
        return f"{end['node']}:{end['interface']}"
    return end if isinstance(end, str) else None


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
