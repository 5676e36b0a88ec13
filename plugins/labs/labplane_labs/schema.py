"""The JSON Schema of lab files, made from the schemas that the drivers of a server have published."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

STARTUP = ("startup_script", "startup_config", "startup")  # a kind's own name for what `startup` gives it
OWN = ("name", "vm_id", "console")
NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
VMS = re.compile(r"/v1/projects/{project_id}/([a-z0-9_]+)/vms")

_STARTUP: Schema = {
    "description": "what the machine is told when it starts, one command a line",
    "anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {"type": "string"}}],
}
_COMMON: Mapping[str, Schema] = {
    "position": {
        "description": "where it stands in a drawing: x, y",
        "type": "array",
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
    },
    "notes": {"type": "string", "maxLength": 10_000},
}
_ENDPOINT: Schema = {
    "description": "NODE, NODE:PORT with a port's name or number, or NODE:ADAPTER/PORT",
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*(:[^:]+)?$",
}
_PAIR: Schema = {"type": "array", "items": _ENDPOINT, "minItems": 2, "maxItems": 2}
_LINKS: Schema = {
    "type": "array",
    "items": {
        "anyOf": [
            _PAIR,
            {
                "type": "object",
                "properties": {"endpoints": _PAIR},
                "required": ["endpoints"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {
                    "endpoints": {"type": "array", "items": _ENDPOINT, "minItems": 1, "maxItems": 1},
                    "nio": {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
                },
                "required": ["endpoints", "nio"],
                "additionalProperties": False,
            },
        ]
    },
}
_TESTS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "node": {"type": "string"},
            "run": {"description": "a line to type at its console", "type": "string"},
            "expect": {"description": "a regular expression that its output must have", "type": "string"},
            "reject": {"description": "a regular expression that its output must not have", "type": "string"},
            "timeout": {"description": "seconds", "type": "number", "exclusiveMinimum": 0, "maximum": 3600},
            "attempts": {"type": "integer", "minimum": 1, "maximum": 100},
        },
        "required": ["node", "run"],
        "additionalProperties": False,
    },
}


def lab_schema(document: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of lab files for a server with that OpenAPI document; $defs has `node.KIND` for each kind."""
    named: Mapping[str, Schema] = document["components"]["schemas"]
    kinds = {kind: node_properties(_resolved(create, named)) for kind, create in _creates(document)}
    everything = {name: schema for own in kinds.values() for name, schema in own.items()}
    nodes: Schema = {
        "type": ["object", "null"],
        "properties": {"kind": {"enum": sorted(kinds)}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/node.{kind}"},
            }
            for kind in sorted(kinds)
        ],
        "if": {"not": {"required": ["kind"]}},
        "then": {"anyOf": [{"$ref": f"#/$defs/node.{kind}"} for kind in sorted(kinds)]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A lab of labplane",
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": NAME},
            "defaults": {
                "description": "for each node, as far as its kind has them",
                "type": "object",
                "properties": {"kind": {"enum": sorted(kinds)}, **everything},
                "additionalProperties": False,
            },
            "nodes": {
                "type": "object",
                "propertyNames": {"pattern": NAME},
                "additionalProperties": nodes,
            },
            "links": _LINKS,
            "tests": _TESTS,
        },
        "required": ["name", "nodes"],
        "additionalProperties": False,
        "$defs": {
            f"node.{kind}": {
                "type": ["object", "null"],
                "properties": {"kind": {"const": kind}, **own},
                "additionalProperties": False,
            }
            for kind, own in kinds.items()
        },
    }


def node_properties(create: Schema) -> dict[str, Schema]:
    """What a node may have whose VM is created with requests of that schema."""
    own = {name: schema for name, schema in create["properties"].items() if name not in OWN}
    startup = {} if startup_of(own) is None else {"startup": _STARTUP}
    console = create["properties"].get("console")
    at = {} if console is None else {"console": {**console, "description": "its TCP port"}}
    return {**own, **startup, **_COMMON, **at}


def startup_of(properties: Mapping[str, Any]) -> str | None:
    """Which of a kind's properties `startup` stands for; None when it has none."""
    return next((name for name in STARTUP if name in properties), None)


def _creates(document: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Each kind with the schema of requests that create one of its VMs."""
    for path, operations in document["paths"].items():
        if (found := VMS.fullmatch(path)) and "post" in operations:
            body = operations["post"]["requestBody"]["content"]["application/json"]["schema"]
            yield found[1], _resolved(body, document["components"]["schemas"])


def _resolved(schema: Any, named: Mapping[str, Schema]) -> Any:
    """`schema` with each reference to a named one replaced by it."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/components/schemas/"):
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            return {**_resolved(named[reference.rpartition("/")[2]], named), **rest}
        return {name: _resolved(value, named) for name, value in schema.items()}
    if isinstance(schema, list):
        return [_resolved(value, named) for value in schema]
    return schema
