"""The topology as the text of its reply (T-5), written member by member.

A lab of a thousand nodes is asked for again and again while somebody looks at it. An encoder that indents takes
five times as long, in which the server does nothing else.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

Port = tuple[int, int, str, str | None]  # adapter, port, name, the id of the link
EndOf = tuple[str, int, int, str]  # the VM's id, adapter, port, name


def node_text(
    vm_id: str,
    name: str,
    kind: str,
    status: str,
    console: int | None,
    last_exit: Mapping[str, Any] | None,
    x: float | None,
    y: float | None,
    notes: str,
    ports: Iterable[Port],
) -> str:
    """A node of K-1, as deep in the text as it stands in a topology."""
    shown = ",".join(
        f"""
                {{
                    "adapter": {adapter},
                    "link_id": {_text(link)},
                    "name": {quoted(called)},
                    "port": {port}
                }}"""
        for adapter, port, called, link in ports
    )
    return f"""{{
            "console": {_number(console)},
            "kind": {quoted(kind)},
            "last_exit": {_exit(last_exit)},
            "name": {quoted(name)},
            "notes": {quoted(notes)},
            "ports": {_list(shown, 12)},
            "status": {quoted(status)},
            "vm_id": {quoted(vm_id)},
            "x": {_number(x)},
            "y": {_number(y)}
        }}"""


def link_text(link_id: str, ends: Iterable[EndOf], leads_to: str | None) -> str:
    """A link of K-2, likewise."""
    shown = ",".join(
        f"""
                {{
                    "adapter": {adapter},
                    "name": {quoted(name)},
                    "port": {port},
                    "vm_id": {quoted(vm_id)}
                }}"""
        for vm_id, adapter, port, name in ends
    )
    return f"""{{
            "ends": {_list(shown, 12)},
            "leads_to": {_text(leads_to)},
            "link_id": {quoted(link_id)}
        }}"""


def link_object(link_id: str, ends: Sequence[EndOf], leads_to: str | None) -> dict[str, Any]:
    """A link of K-2, in JSON types."""
    shown = [{"vm_id": vm_id, "adapter": adapter, "port": port, "name": name} for vm_id, adapter, port, name in ends]
    return {"link_id": link_id, "ends": shown, "leads_to": leads_to}


def topology_text(project_id: str, nodes: Iterable[str], links: Iterable[str]) -> bytes:
    """The whole of K-1."""
    shown = {name: ",".join(f"\n        {one}" for one in them) for name, them in (("links", links), ("nodes", nodes))}
    text = f"""{{
    "links": {_list(shown["links"], 4)},
    "nodes": {_list(shown["nodes"], 4)},
    "project_id": {quoted(project_id)}
}}"""
    return text.encode("ascii")


def _list(items: str, depth: int) -> str:
    """A list of `items`, each of which begins with its line."""
    return f"[{items}\n{' ' * depth}]" if items else "[]"


def _exit(last: Mapping[str, Any] | None) -> str:
    if last is None:
        return "null"
    return f"""{{
                "last_line": {quoted(last["last_line"])},
                "status": {_number(last["status"])}
            }}"""


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _number(value: float | None) -> str:
    return "null" if value is None else json.dumps(value)
