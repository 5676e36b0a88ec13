"""The topology as the text of its reply (T-5), of which what has not changed since an earlier one is remembered.

A lab of a thousand nodes is asked for again and again while somebody looks at it, and mostly stays as it is.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

Port = tuple[int, int, str, str | None]  # adapter, port, name, the id of the link
EndOf = tuple[str, int, int, str]  # the VM's id, adapter, port, name
MARGIN = "\n        "


@lru_cache(maxsize=8192)
def node_text(
    vm_id: str,
    name: str,
    kind: str,
    status: str,
    console: int | None,
    x: float | None,
    y: float | None,
    notes: str,
    ports: Sequence[Port],
) -> str:
    """A node of K-1."""
    return _text(
        {
            "vm_id": vm_id,
            "name": name,
            "kind": kind,
            "status": status,
            "console": console,
            "x": x,
            "y": y,
            "notes": notes,
            "ports": [
                {"adapter": adapter, "port": port, "name": called, "link_id": link}
                for adapter, port, called, link in ports
            ],
        }
    )


@lru_cache(maxsize=16384)
def link_text(link_id: str, ends: Sequence[EndOf], leads_to: str | None) -> str:
    """A link of K-2."""
    return _text(link_object(link_id, ends, leads_to))


def link_object(link_id: str, ends: Sequence[EndOf], leads_to: str | None) -> dict[str, Any]:
    """A link of K-2, in JSON types."""
    shown = [{"vm_id": vm_id, "adapter": adapter, "port": port, "name": name} for vm_id, adapter, port, name in ends]
    return {"link_id": link_id, "ends": shown, "leads_to": leads_to}


def topology_text(project_id: str, nodes: Iterable[str], links: Iterable[str]) -> bytes:
    """The whole of K-1."""
    members = {"links": _list(links), "nodes": _list(nodes), "project_id": json.dumps(project_id)}
    inner = ",\n    ".join(f'"{name}": {text}' for name, text in members.items())
    return f"{{\n    {inner}\n}}".encode("ascii")


def _text(value: Any) -> str:
    return json.dumps(value, indent=4, sort_keys=True).replace("\n", MARGIN)


def _list(items: Iterable[str]) -> str:
    inner = f",{MARGIN}".join(items)
    return f"[{MARGIN}{inner}\n    ]" if inner else "[]"
