"""JSON Schema as jsonschema knows it, for all to which the quick answer is not yes, and the words of a refusal.

Importing jsonschema takes as long as a sixth of a server's start, and most servers refuse nothing for long.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

Schema = Mapping[str, Any]
Validator = jsonschema.protocols.Validator

# JSON Schema 2020-12 as OpenAPI 3.1 uses it, but an integer is written as one: 2000.0 is refused (T-11).
LabValidator: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, type_checker=jsonschema.Draft4Validator.TYPE_CHECKER
)


def registry(named: Mapping[str, Schema]) -> Registry[Any]:
    """A registry of schemas by their addresses; nothing is ever fetched."""
    return Registry().with_resources((at, DRAFT202012.create_resource(schema)) for at, schema in named.items())


def fault(schema: Any) -> str | None:
    """The reason why `schema` is no valid JSON Schema; None when it is one."""
    try:
        LabValidator.check_schema(schema)
    except jsonschema.SchemaError as error:
        at = "/".join(str(step) for step in error.absolute_path) or "the top"
        return f"not a valid JSON Schema at {at}: {error.message}"
    return None


def dead_reference(
    schema: Schema, named: Mapping[str, Schema], references: Callable[[Any], Iterable[str]]
) -> str | None:
    """The first ``$ref`` in `schema`, or in what it refers to, that leads nowhere; None when all lead somewhere."""
    base = DRAFT202012.create_resource(schema)
    pending: list[tuple[Any, Any]] = [(schema, registry(named).resolver_with_root(base))]
    seen: set[tuple[str, str]] = set()
    while pending:
        part, resolver = pending.pop()
        for reference in references(part):
            try:
                found = resolver.lookup(reference)
            except Unresolvable:
                return reference
            key = (found.resolver._base_uri, reference)
            if key not in seen:
                seen.add(key)
                pending.append((found.contents, found.resolver))
    return None


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


def _kind(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _quoted(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
