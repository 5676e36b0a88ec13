"""The schemas of requests for projects and of project objects (section 5 of docs/api.md)."""

from collections.abc import Mapping

from labplane import Schema

PATH: Schema = {"type": ["string", "null"], "minLength": 1}
NAME: Schema = {"$ref": "labplane:NameOrNull"}

SCHEMAS: Mapping[str, Schema] = {
    "ProjectCreate": {
        "type": "object",
        "properties": {
            "name": NAME,
            "path": PATH,
            "project_id": {"$ref": "labplane:UUIDOrNull"},
            "temporary": {"type": "boolean"},
        },
        "additionalProperties": False,
    },
    "ProjectUpdate": {
        "type": "object",
        "properties": {"name": NAME, "path": PATH, "temporary": {"type": "boolean"}},
        "additionalProperties": False,
    },
    "Project": {
        "type": "object",
        "properties": {
            "project_id": {"$ref": "labplane:UUID"},
            "name": NAME,
            "path": {"type": "string"},
            "location": {"type": "string"},
            "temporary": {"type": "boolean"},
        },
        "required": ["project_id", "name", "path", "location", "temporary"],
        "additionalProperties": False,
    },
}
