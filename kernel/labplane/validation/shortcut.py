"""A quick yes to values that satisfy a schema of everyday keywords, and to such schemas; without a yes, ask jsonschema.

jsonschema takes 40 to 100 µs for a request body, most of it for the sake of errors; `shortcut` takes 2 to 5. It takes
half a second to find the 300 schemas of our own plugins valid, which is half of a server's start; `is_everyday` takes
a hundredth of that.
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


_REFERENCES_BESIDES = frozenset({"$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor"})
_named_or_within = re.compile(r"[a-z]+:[\w.-]+|#(/[\w.$-]+)*")


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


def is_everyday(schema: Any) -> bool:
    """True only for a valid JSON Schema, made of nothing but everyday keywords."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict):
        return False
    for keyword, rule in schema.items():
        valid = _VALID.get(keyword)
        if not (keyword.startswith("x-") if valid is None else valid(rule)):
            return False
    return True


def leads_somewhere(schema: Schema, resolve: Callable[[str], Schema | None]) -> bool:
    """True only if every reference in a valid schema, and in all that it refers to, leads to a schema.

    resolve: gives the schema that a ``$ref`` means from anywhere, None for none.
    """
    pending: list[tuple[Any, Any]] = [(schema, schema)]
    seen: set[tuple[int, str]] = set()
    while pending:
        part, document = pending.pop()
        if isinstance(part, dict):
            if not _REFERENCES_BESIDES.isdisjoint(part):
                return False
            pending += ((inner, document) for inner in part.values())
            reference = part.get("$ref")
            if isinstance(reference, str) and (id(document), reference) not in seen:
                seen.add((id(document), reference))
                target = _within(document, reference[1:]) if reference[:1] == "#" else resolve(reference)
                if target is None:
                    return False
                pending.append((target, document if reference[:1] == "#" else target))
        elif isinstance(part, list):
            pending += ((inner, document) for inner in part)
    return True


def _within(document: Any, pointer: str) -> Schema | None:
    first, *steps = pointer.split("/")
    if first:  # it is the name of an anchor
        return None
    for step in steps:
        document = document.get(step) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else None


def _is_schemas(rule: Any) -> bool:
    return isinstance(rule, list) and len(rule) > 0 and all(map(is_everyday, rule))


def _is_by_name(rule: Any) -> bool:
    return isinstance(rule, dict) and all(map(is_everyday, rule.values()))


def _is_words(rule: Any) -> bool:
    return isinstance(rule, list) and all(map(_is_string, rule)) and len(set(rule)) == len(rule)


def _is_type(rule: Any) -> bool:
    return all(kind in _TYPES for kind in rule) if _is_words(rule) and rule else _is_string(rule) and rule in _TYPES


def _is_count(rule: Any) -> bool:
    return _TYPES["integer"](rule) and rule >= 0


def _is_pattern(rule: Any) -> bool:
    try:
        return _is_string(rule) and re.compile(rule) is not None
    except re.error:
        return False


_VALID: Mapping[str, Accepts] = {
    **dict.fromkeys(("items", "additionalProperties", "if", "then", "else", "not"), is_everyday),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _is_schemas),
    **dict.fromkeys(("properties", "$defs"), _is_by_name),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("title", "description", "format"), _is_string),
    **dict.fromkeys(("deprecated", "readOnly", "writeOnly", "uniqueItems"), _TYPES["boolean"]),
    **dict.fromkeys(("enum", "examples"), _is_array),
    **dict.fromkeys(("const", "default"), lambda _: True),
    "$ref": lambda rule: _is_string(rule) and _named_or_within.fullmatch(rule) is not None,
    "pattern": _is_pattern,
    "patternProperties": lambda rule: _is_by_name(rule) and all(map(_is_pattern, rule)),
    "required": _is_words,
    "type": _is_type,
}
