"""JSON Schema: each schema is checked once, named ones live in one registry, and nothing is ever fetched."""

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labplane.validation.shortcut import Accepts, is_everyday, leads_somewhere, shortcut

if TYPE_CHECKING:
    from labplane.validation.thorough import Validator

Schema = Mapping[str, Any]

PREFIX = "labplane:"

_name = re.compile(r"[A-Za-z0-9._-]+")
_DATA = ("enum", "const", "default", "examples")  # keywords whose values are no schemas
_BY_NAME = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")  # schemas by any name


class SchemaError(ValueError):
    """A schema is no valid JSON Schema, or refers to one that nobody registered."""


class Rule:
    """A valid schema, with which values are compared."""

    __slots__ = ("_named", "_schema", "_shortcut", "_validator")

    def __init__(self, schema: Schema, named: Mapping[str, Schema]) -> None:
        self._schema, self._named = schema, named
        self._shortcut: Accepts | None = None
        self._validator: Validator | None = None

    def accepts(self, value: Any) -> bool:
        """True only for a value that satisfies the schema, and quick; see `shortcut`."""
        if self._shortcut is None:
            self._shortcut = shortcut(self._schema, self._named.get)
        return self._shortcut(value)

    def complaint(self, value: Any, whole: str = "the body") -> str | None:
        """Why `value` does not satisfy the schema, as one sentence that names the field; None when it does.

        whole: what the value itself is called.
        """
        if self.accepts(value):
            return None
        from labplane.validation import thorough  # which takes a while

        if self._validator is None:
            self._validator = thorough.LabValidator(self._schema, registry=thorough.registry(self._named))
        return thorough.complaint(self._validator, value, whole)


class Schemas:
    """The named schemas of one lab; ``{"$ref": "labplane:NAME"}`` in any schema means the one called NAME."""

    def __init__(self) -> None:
        self._by_reference: dict[str, Schema] = {}

    @property
    def named(self) -> Mapping[str, Schema]:
        return {reference.removeprefix(PREFIX): schema for reference, schema in self._by_reference.items()}

    def copy(self) -> "Schemas":
        """A registry that can be extended without touching this one."""
        other = Schemas()
        other.take_over(self)
        return other

    def take_over(self, other: "Schemas") -> None:
        """Take over what `other`, a copy of this one, has more."""
        self._by_reference = dict(other._by_reference)

    def add(self, schemas: Mapping[str, Schema]) -> None:
        """Register each schema under its name. Raises SchemaError when one is invalid or its name is taken."""
        for name, schema in schemas.items():
            if not _name.fullmatch(name):
                raise SchemaError(f"the schema name {name!r} must consist of letters, digits and ._-")
            if PREFIX + name in self._by_reference:
                raise SchemaError(f"the schema name {name!r} is taken")
            self._by_reference[PREFIX + name] = check(schema, name)
        for name in schemas:
            self.compile({"$ref": PREFIX + name}, name)

    def compile(self, schema: Schema, where: str) -> Rule:
        """The rule that `schema` is. Raises SchemaError when it is invalid or a ``$ref`` in it leads nowhere."""
        plain = check(schema, where)
        if not leads_somewhere(plain, self._by_reference.get):
            from labplane.validation import thorough  # which takes a while

            if dead := thorough.dead_reference(plain, self._by_reference, references_in):
                known = ", ".join(sorted(self._by_reference)) or "none"
                raise SchemaError(f"{where}: $ref {dead!r} leads nowhere; named schemas: {known}")
        return Rule(plain, self._by_reference)


def check(schema: Schema, where: str) -> dict[str, Any]:
    """A copy of `schema` in plain JSON types. Raises SchemaError, naming `where`, unless it is a valid JSON Schema."""
    if not isinstance(schema, Mapping):
        raise SchemaError(f"{where}: a schema is a mapping, not {type(schema).__name__}")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(schema, default=dict, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{where}: a schema must consist of JSON values: {error}") from None
    if not is_everyday(plain):
        from labplane.validation import thorough  # which takes a while

        if fault := thorough.fault(plain):
            raise SchemaError(f"{where}: {fault}")
    return plain


def replace_references(part: Any, follow: Callable[[str], str]) -> Any:
    """A copy of the schema `part`, with what `follow` makes of each reference in its place."""
    if isinstance(part, list | tuple):
        return [replace_references(inner, follow) for inner in part]
    if not isinstance(part, Mapping):
        return part
    copy: dict[str, Any] = {}
    for key, inner in part.items():
        if key in ("$ref", "$dynamicRef") and isinstance(inner, str):
            copy[key] = follow(inner)
        elif key in _BY_NAME and isinstance(inner, Mapping):
            copy[key] = {name: replace_references(schema, follow) for name, schema in inner.items()}
        else:
            copy[key] = inner if key in _DATA else replace_references(inner, follow)
    return copy


def references_in(schema: Any) -> list[str]:
    """All references of a schema."""
    found: list[str] = []

    def note(reference: str) -> str:
        found.append(reference)
        return reference

    replace_references(schema, note)
    return found
