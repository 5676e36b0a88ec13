"""Hooks for schemathesis: most ids that it makes up become ids of a live server.

The variable LABPLANE_URL says where the server is.
"""

import os
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any
from uuid import UUID

import httpx2
import schemathesis

from labplane import NIO_UDP

_http = httpx2.Client(base_url=os.environ["LABPLANE_URL"], timeout=30.0, trust_env=False)
_calls = count()
_known: list[Mapping[str, Any]] = []  # the ids that were used before; of some the VM is gone


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Of 8 calls with ids that could exist 6 get those of a VM that does, one those of a VM that did."""
    ids = case.path_parameters
    if isinstance(case.body, dict):
        _adapt(case.body)
    if case.meta is None or case.meta.phase.name == "stateful" or "project_id" not in ids:
        return  # a state machine knows ids from replies
    if not all(_is_uuid(ids[name]) for name in ("project_id", "vm_id") if name in ids):
        return
    call = next(_calls)
    if call % 8 < 6:
        found = _live(case.operation.path, call)
        _known.append(found)
    elif call % 8 == 6 and _known:
        found = _known[call % len(_known)]
    else:
        return
    ids.update({name: found[name] for name in ids if name in found})


@schemathesis.hook
def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """JSON Schema calls 2000.0 an integer; labplane does not, as its documentation says."""
    return not any(isinstance(value, float) and value.is_integer() for value in _leaves(body))


def _adapt(nio: dict[str, Any]) -> None:
    """A far end becomes this host, so that nobody is asked for names; the port of the example one that is free."""
    if isinstance(host := nio.get("rhost"), str) and host:
        nio["rhost"] = "127.0.0.1"
    if nio.get("lport") == NIO_UDP["examples"][0]["lport"]:
        nio["lport"] = _http.post("/v1/ports/udp").raise_for_status().json()["udp_port"]


def _live(path: str, number: int) -> Mapping[str, Any]:
    """The ids of some VM of that path's kind and of its project, made if need be."""
    projects = _http.get("/v1/projects").json() or [_http.post("/v1/projects", json={}).json()]
    project_id = projects[number % len(projects)]["project_id"]
    found = {"project_id": project_id, "adapter": 0, "port": 0}
    if "/vms/{vm_id}" in path:
        vms = f"/v1/projects/{project_id}/{path.split('/')[4]}/vms"
        there = _http.get(vms).json() or [_http.post(vms, json={"name": "A"}).raise_for_status().json()]
        found["vm_id"] = there[number % len(there)]["vm_id"]
    return found


def _is_uuid(value: object) -> bool:
    try:
        return str(UUID(str(value))) == str(value).lower()
    except ValueError:
        return False


def _leaves(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(inner)
    else:
        yield value
