"""The named schemas that every schema may refer to: ids, port numbers and names."""

from collections.abc import Mapping

from labplane.validation.schemas import PREFIX, Schema

UUID: Schema = {
    "type": "string",
    "format": "uuid",
    "maxLength": 36,  # since ``$`` lets a line end follow
    "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    "description": "a UUID, 8-4-4-4-12 hex digits",
}
_PORT_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
# A name is one line wherever it is shown or written: in scripts, logs, terminals. U+009B begins escape sequences.
_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*(?!\n)$",
    "description": "a text without control characters",
}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


NAMED: Mapping[str, Schema] = {
    "UUID": UUID,
    "UUIDOrNull": _or_null(UUID),
    "PortNumber": _PORT_NUMBER,
    "PortNumberOrNull": _or_null(_PORT_NUMBER),
    "Name": _NAME,
    "NameOrNull": _or_null(_NAME),
}


def ref(name: str) -> Schema:
    """A reference to the schema of that name."""
    return {"$ref": PREFIX + name}
