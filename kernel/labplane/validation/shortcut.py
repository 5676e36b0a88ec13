"""A quick yes to what satisfies a schema of everyday keywords; whoever gets no yes is to ask jsonschema.

jsonschema takes 40 to 100 µs for a request body, most of it for the sake of errors; this takes 2 to 5.
"""

import re
from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any

Accepts = Callable[[Any], bool]
Schema = Mapping[str, Any]

_TYPES: Mapping[str, Accepts] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}

_ANNOTATIONS = frozenset(
    {"title", "description", "format", "default", "examples", "deprecated", "readOnly", "writeOnly"}
)
_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minLength": ge,
    "maxLength": le,
    "minItems": ge,
    "maxItems": le,
    "minimum": ge,
    "maximum": le,
    "exclusiveMinimum": gt,
    "exclusiveMaximum": lt,
}
_is_object, _is_array, _is_string, _is_number = (_TYPES[name] for name in ("object", "array", "string", "number"))


class _Unusual(Exception):
    """The schema has something that is left to jsonschema."""


def shortcut(schema: Schema, resolve: Callable[[str], Schema | None]) -> Accepts:
    """A function that is true only for values that satisfy `schema`, which must be valid.

    resolve: gives the schema that a ``$ref`` means, None for one to be left to jsonschema.
    """
    try:
        return _compile(schema, resolve, ())
    except _Unusual:
        return lambda _: False


def _compile(schema: Any, resolve: Callable[[str], Schema | None], within: tuple[str, ...]) -> Accepts:
    if not isinstance(schema, Mapping):
        raise _Unusual
    rules: list[Accepts] = []

    def inner(part: Any) -> Accepts:
        return _compile(part, resolve, within)

    for keyword, rule in schema.items():
        match keyword:
            case "$ref":
                target = None if rule in within else resolve(rule)
                if target is None:
                    raise _Unusual
                rules.append(_compile(target, resolve, (*within, rule)))
            case "type":
                rules.append(_one_of([_TYPES[name] for name in ([rule] if isinstance(rule, str) else rule)]))
            case "const" | "enum":
                rules.append(_strings([rule] if keyword == "const" else rule))
            case "required":
                rules.append(_required(tuple(rule)))
            case "properties":
                rules.append(_properties({name: inner(part) for name, part in rule.items()}))
            case "additionalProperties" if rule is False and "patternProperties" not in schema:
                rules.append(_nothing_else(frozenset(schema.get("properties", ()))))
            case "items" if "prefixItems" not in schema:
                rules.append(_items(inner(rule)))
            case "minLength" | "maxLength":
                rules.append(_length(_is_string, _BOUNDS[keyword], rule))
            case "minItems" | "maxItems":
                rules.append(_length(_is_array, _BOUNDS[keyword], rule))
            case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
                rules.append(_bound(_BOUNDS[keyword], rule))
            case "pattern":
                rules.append(_matching(re.compile(rule)))
            case "allOf":
                rules += [inner(part) for part in rule]
            case "if":
                rules.append(_implies(inner(rule), inner(schema.get("then", {}))))
            case "then" if "if" in schema:
                pass
            case _ if keyword not in _ANNOTATIONS and not keyword.startswith("x-"):
                raise _Unusual
    return _every(rules)


def _every(rules: list[Accepts]) -> Accepts:
    return rules[0] if len(rules) == 1 else lambda value: all(rule(value) for rule in rules)


def _one_of(kinds: list[Accepts]) -> Accepts:
    return kinds[0] if len(kinds) == 1 else lambda value: any(kind(value) for kind in kinds)


def _strings(allowed: list[Any]) -> Accepts:
    if not all(isinstance(one, str) for one in allowed):
        raise _Unusual
    return lambda value: isinstance(value, str) and value in allowed


def _length(of: Accepts, compare: Callable[[Any, Any], bool], bound: int) -> Accepts:
    return lambda value: not of(value) or compare(len(value), bound)


def _items(part: Accepts) -> Accepts:
    return lambda value: not _is_array(value) or all(part(item) for item in value)


def _bound(compare: Callable[[Any, Any], bool], bound: float) -> Accepts:
    return lambda value: not _is_number(value) or compare(value, bound)


def _matching(pattern: re.Pattern[str]) -> Accepts:
    return lambda value: not _is_string(value) or pattern.search(value) is not None


def _required(names: tuple[str, ...]) -> Accepts:
    return lambda value: not _is_object(value) or all(name in value for name in names)


def _properties(parts: Mapping[str, Accepts]) -> Accepts:
    def accepts(value: Any) -> bool:
        return not _is_object(value) or all(parts[name](value[name]) for name in value if name in parts)

    return accepts


def _nothing_else(names: frozenset[str]) -> Accepts:
    return lambda value: not _is_object(value) or value.keys() <= names


def _implies(condition: Accepts, consequence: Accepts) -> Accepts:
    return lambda value: not condition(value) or consequence(value)
