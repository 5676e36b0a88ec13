"""The topology as the text of its reply (T-5), written member by member.

A lab of a thousand nodes is asked for again and again while somebody looks at it. An encoder that indents takes ten
times as long, in which the server does nothing else. Most nodes and links are then as they were, so that what was
written of them last is kept.
"""

from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from labplane_links.wiring import id_of_link

EndOf = tuple[str, int, int, str]  # the VM's id, adapter, port, name
PortOf = tuple[tuple[int, int], str, str | None]  # adapter and port, name, id of the link

KEPT = 8192  # of either; a text is about 1 KiB


@lru_cache(maxsize=KEPT, typed=True)
def node_text(
    vm_id: str,
    name: str,
    kind: str,
    status: str,
    console: int | None,
    last_exit: tuple[int | None, str] | None,
    x: float | None,
    y: float | None,
    notes: str,
    ports: Sequence[PortOf],
) -> str:
    """The text of a node (K-1), as deep as it stands in the reply. last_exit: status and last line."""
    shown = [_port(*port) for port in ports]
    return f"""
        {{
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


@lru_cache(maxsize=KEPT)
def link_text(ends: tuple[EndOf, ...], leads_to: str | None) -> tuple[str, str]:
    """The id of a link (K-2), and its text, as deep as it stands in the reply."""
    link_id = id_of_link(tuple([(vm_id, (adapter, port)) for vm_id, adapter, port, _ in ends]))
    shown = [_end(*end) for end in ends]
    text = f"""
        {{
            "ends": {_list(shown, 12)},
            "leads_to": {"null" if leads_to is None else quoted(leads_to)},
            "link_id": {quoted(link_id)}
        }}"""
    return link_id, text


def link_object(link_id: str, ends: Sequence[EndOf], leads_to: str | None) -> dict[str, Any]:
    """A link of K-2, in JSON types."""
    shown = [{"vm_id": vm_id, "adapter": adapter, "port": port, "name": name} for vm_id, adapter, port, name in ends]
    return {"link_id": link_id, "ends": shown, "leads_to": leads_to}


def topology_text(project_id: str, nodes: Sequence[str], links: Sequence[str]) -> bytes:
    """The whole of K-1."""
    text = f"""{{
    "links": {_list(links, 4)},
    "nodes": {_list(nodes, 4)},
    "project_id": {quoted(project_id)}
}}"""
    return text.encode("ascii")


def _list(items: Sequence[str], depth: int) -> str:
    """A list of `items`, each of which begins with its line."""
    return f"[{','.join(items)}\n{' ' * depth}]" if items else "[]"


def _port(port: tuple[int, int], name: str, link_id: str | None) -> str:
    return f"""
                {{
                    "adapter": {port[0]},
                    "link_id": {"null" if link_id is None else quoted(link_id)},
                    "name": {quoted(name)},
                    "port": {port[1]}
                }}"""


def _end(vm_id: str, adapter: int, port: int, name: str) -> str:
    return f"""
                {{
                    "adapter": {adapter},
                    "name": {quoted(name)},
                    "port": {port},
                    "vm_id": {quoted(vm_id)}
                }}"""


def _exit(last: tuple[int | None, str] | None) -> str:
    if last is None:
        return "null"
    status, last_line = last
    return f"""{{
                "last_line": {quoted(last_line)},
                "status": {_number(status)}
            }}"""


def _number(value: float | None) -> str:
    return "null" if value is None else repr(value)
