"""JSON Schema: each schema is compiled once, named ones live in one registry, and nothing is ever fetched."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from labplane.validation.shortcut import Accepts, is_everyday, shortcut

Schema = Mapping[str, Any]
Validator = jsonschema.protocols.Validator

# JSON Schema 2020-12 as OpenAPI 3.1 uses it, but an integer is written as one: 2000.0 is refused (T-11).
LabValidator: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, type_checker=jsonschema.Draft4Validator.TYPE_CHECKER
)

PREFIX = "labplane:"

_name = re.compile(r"[A-Za-z0-9._-]+")
_DATA = ("enum", "const", "default", "examples")  # keywords whose values are no schemas
_BY_NAME = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")  # schemas by any name


class SchemaError(ValueError):
    """A schema is no valid JSON Schema, or refers to one that nobody registered."""


class Schemas:
    """The named schemas of one lab; ``{"$ref": "labplane:NAME"}`` in any schema means the one called NAME."""

    def __init__(self) -> None:
        self._named: dict[str, Schema] = {}
        self._registry: Registry[Any] = Registry()

    @property
    def named(self) -> Mapping[str, Schema]:
        return self._named

    def copy(self) -> "Schemas":
        """A registry that can be extended without touching this one."""
        other = Schemas()
        other._named = dict(self._named)
        other._registry = self._registry
        return other

    def take_over(self, other: "Schemas") -> None:
        """Take over what `other`, a copy of this one, has more."""
        self._named = dict(other._named)
        self._registry = other._registry

    def add(self, schemas: Mapping[str, Schema]) -> None:
        """Register each schema under its name. Raises SchemaError when one is invalid or its name is taken."""
        for name, schema in schemas.items():
            if not _name.fullmatch(name):
                raise SchemaError(f"the schema name {name!r} must consist of letters, digits and ._-")
            if name in self._named:
                raise SchemaError(f"the schema name {name!r} is taken")
            self._named[name] = plain = check(schema, name)
            self._registry = self._registry.with_resource(PREFIX + name, DRAFT202012.create_resource(plain))
        for name in schemas:
            self.compile({"$ref": PREFIX + name}, name)

    def compile(self, schema: Schema, where: str) -> Validator:
        """A validator for `schema`. Raises SchemaError when it is invalid or a ``$ref`` in it leads nowhere."""
        plain = check(schema, where)
        self._resolve_all(plain, where)
        return LabValidator(plain, registry=self._registry)

    def shortcut(self, schema: Schema) -> Accepts:
        """True only for what satisfies `schema`, and quick; see there. To be called once `compile` found it valid."""
        by_reference = {PREFIX + name: named for name, named in self._named.items()}
        return shortcut(schema, by_reference.get)

    def _resolve_all(self, schema: dict[str, Any], where: str) -> None:
        base = DRAFT202012.create_resource(schema)
        pending: list[tuple[Any, Any]] = [(schema, self._registry.resolver_with_root(base))]
        seen: set[tuple[str, str]] = set()
        while pending:
            part, resolver = pending.pop()
            for reference in _references(part):
                try:
                    found = resolver.lookup(reference)
                except Unresolvable:
                    known = ", ".join(PREFIX + name for name in sorted(self._named)) or "none"
                    raise SchemaError(f"{where}: $ref {reference!r} leads nowhere; named schemas: {known}") from None
                key = (found.resolver._base_uri, reference)
                if key not in seen:
                    seen.add(key)
                    pending.append((found.contents, found.resolver))


def check(schema: Schema, where: str) -> dict[str, Any]:
    """A copy of `schema` in plain JSON types. Raises SchemaError, naming `where`, unless it is a valid JSON Schema."""
    if not isinstance(schema, Mapping):
        raise SchemaError(f"{where}: a schema is a mapping, not {type(schema).__name__}")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(schema, default=dict, allow_nan=False))
        if not is_everyday(plain):
            LabValidator.check_schema(plain)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{where}: a schema must consist of JSON values: {error}") from None
    except jsonschema.SchemaError as error:
        at = "/".join(str(step) for step in error.absolute_path) or "the top"
        raise SchemaError(f"{where}: not a valid JSON Schema at {at}: {error.message}") from None
    return plain


def complaint(validator: Validator, value: Any, whole: str = "the body") -> str | None:
    """Why `value` does not satisfy the schema, as one sentence that names the field; None when it does.

    whole: what the value itself is called.
    """
    try:
        error = best_match(validator.iter_errors(value))
    except RecursionError:  # from printing what it found
        return f"{whole} is nested too deep where something simpler belongs"
    return None if error is None else describe(error, whole)


def describe(error: ValidationError, whole: str = "the body") -> str:
    """A sentence for `error` that names the field and what is allowed, without repeating a long value."""
    field = ".".join(str(step) for step in error.absolute_path)
    subject = f"'{field}'" if field else whole
    rule: Any = error.validator_value
    value: Any = error.instance
    schema: Any = error.schema
    match error.validator:
        case "type":
            kinds = rule if isinstance(rule, list) else [rule]
            return f"{subject} must be of type {' or '.join(kinds)}, not {_kind(value)}"
        case "required":
            missing = [name for name in rule if name not in value]
            return f"{subject} lacks the required {_quoted(missing)}"
        case "additionalProperties" if rule is False:
            allowed = sorted(schema.get("properties", ()))
            extra = [str(name)[:60] for name in value if name not in allowed]
            return f"{subject} has the unknown {_quoted(extra[:5])}; allowed are {_quoted(allowed) or 'none'}"
        case "minLength" if rule == 1:
            return f"{subject} must not be empty"
        case "minLength" | "maxLength":
            bound = "at least" if error.validator == "minLength" else "at most"
            return f"{subject} must have {bound} {rule} characters, not {len(value)}"
        case "minimum" | "maximum":
            bound = "at least" if error.validator == "minimum" else "at most"
            return f"{subject} must be {bound} {rule}"
        case "enum":
            return f"{subject} must be one of {_quoted(rule)}"
        case "const":
            return f"{subject} must be {rule!r}"
        case "pattern":
            return f"{subject} must match {schema.get('description') or rule}"
        case _:
            return f"{subject}: {error.message[:200]}"


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


def _references(schema: Any) -> list[str]:
    found: list[str] = []

    def note(reference: str) -> str:
        found.append(reference)
        return reference

    replace_references(schema, note)
    return found


def _kind(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _quoted(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
