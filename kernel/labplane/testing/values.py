"""JSON values for a schema, made by hypothesis: fitting ones, odd ones above all, and ones that do not fit.

Not by hypothesis-jsonschema: its last release uses parts of hypothesis that are gone. This knows the keywords that
settings have; for others it guesses, and keeps what the validator accepts.
"""

import re
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from hypothesis import HealthCheck, find, settings, strategies as st

from labplane.testing.judging import Schema
from labplane.testing.published import Published

Values = st.SearchStrategy[Any]

ODD_TEXTS = (
    "",
    " ",
    "\0",
    "\n",
    "\r\n",
    "a\0b",
    "-v",
    "!id",
    "%s%n",
    "$(id)",
    "'\"`",
    "../../etc/passwd",
    "/dev/null",
    "é",
    "漢字",
    "\u202e",
    "\U0001f680",
    "\ufeff",
    "0",
    "null",
    "x" * 5000,
)
WRONG: tuple[Any, ...] = (None, True, -1, 1.5, 2**70, "", "x", "x" * 5000, [], {}, [None], {"x": None})
LARGEST = 2**53

EXAMPLES = settings(
    max_examples=40,
    deadline=None,  # how long a request takes is not what is tested
    derandomize=True,  # a driver's CI shall fail when the driver changes, not by luck
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],  # schemas are what authors write
)

SCALARS: Values = st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | st.text(max_size=20)
ANYTHING: Values = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def fitting(published: Published, schema: Schema) -> Values:
    """Values that fit `schema`."""
    return _candidates(published, schema).filter(published.validator(schema).is_valid)


def objects(published: Published, properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Values:
    """Objects with the `required` properties and any of the others, each with a fitting value."""
    needed = set(required)
    return st.fixed_dictionaries(
        {name: fitting(published, properties[name]) for name in properties if name in needed},
        optional={name: fitting(published, schema) for name, schema in properties.items() if name not in needed},
    )


def sample(published: Published, schema: Schema) -> Any:
    """The simplest value that fits `schema`."""
    return find(fitting(published, schema), lambda _: True, settings=EXAMPLES)


def odd_objects(published: Published, properties: Mapping[str, Schema]) -> list[dict[str, Any]]:
    """One object for each odd text, with that text wherever it fits."""
    judges = {name: published.validator(schema) for name, schema in properties.items()}
    found = [{name: text for name, judge in judges.items() if judge.is_valid(text)} for text in ODD_TEXTS]
    return [one for one in found if one]


def unfitting(published: Published, schema: Schema) -> list[Any]:
    """A few values of different types that do not fit `schema`; none when every value fits."""
    judge = published.validator(schema)
    return [value for value in WRONG if not judge.is_valid(value)]


def _candidates(published: Published, schema: Schema | bool) -> Values:
    """Values most of which fit `schema`."""
    if isinstance(schema, bool) or not schema:
        return ANYTHING
    if "$ref" in schema:
        return st.deferred(lambda: _candidates(published, published.resolve(schema)))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(list(schema["enum"]))
    if "allOf" in schema:
        parts = [published.resolve(part) for part in schema["allOf"]]
        whole: dict[str, Any] = reduce(lambda one, other: {**one, **other}, parts, {})
        return _candidates(published, {**whole, **{key: value for key, value in schema.items() if key != "allOf"}})
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            rest = {key: value for key, value in schema.items() if key != choice}
            return st.one_of([_candidates(published, {**rest, **published.resolve(one)}) for one in schema[choice]])
    types = schema.get("type", ["null", "boolean", "integer", "string"])
    made = st.one_of([_typed(published, kind, schema) for kind in ([types] if isinstance(types, str) else types)])
    shown = [*schema.get("examples", ()), *([schema["default"]] if "default" in schema else [])]
    return made | st.sampled_from(shown) if shown else made


def _typed(published: Published, kind: str, schema: Schema) -> Values:
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(*_bounds(schema, -LARGEST, LARGEST, 1)).map(lambda n: _multiple(n, schema))
        case "number":
            least, most = _bounds(schema, -1e300, 1e300, 0)
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case "string":
            return _texts(schema)
        case "array":
            items = _candidates(published, schema.get("items", {}))
            least = schema.get("minItems", 0)
            return st.lists(
                items,
                min_size=least,
                max_size=schema.get("maxItems", least + 5),
                unique_by=repr if schema.get("uniqueItems") else None,
            )
        case "object":
            return _objects(published, schema)
        case _:
            return st.nothing()


def _texts(schema: Schema) -> Values:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    odd = [text for text in ODD_TEXTS if len(text) >= least and (most is None or len(text) <= most)]
    if "pattern" in schema:
        any_text = st.from_regex(re.compile(schema["pattern"]))
    else:
        any_text = st.text(min_size=least, max_size=least + 60 if most is None else most)
    return any_text | st.sampled_from(odd) if odd else any_text


def _objects(published: Published, schema: Schema) -> Values:
    properties = {name: _candidates(published, inner) for name, inner in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    known = st.fixed_dictionaries(
        {name: properties.get(name, ANYTHING) for name in required},
        optional={name: inner for name, inner in properties.items() if name not in required},
    )
    more = schema.get("additionalProperties", True)
    if more is False:
        return known
    extra = st.dictionaries(st.text(max_size=8), _candidates(published, more), max_size=3)
    return st.builds(lambda one, other: {**other, **one}, known, extra)


def _bounds(schema: Schema, least: Any, most: Any, step: int) -> tuple[Any, Any]:
    """The numbers between which the schema wants it; `step`: how far an excluded bound is from one that is not."""
    least = max(schema.get("minimum", least), schema.get("exclusiveMinimum", least - step) + step)
    most = min(schema.get("maximum", most), schema.get("exclusiveMaximum", most + step) - step)
    return least, most


def _multiple(number: int, schema: Schema) -> int:
    step = schema.get("multipleOf", 1)
    return number // step * step if isinstance(step, int) else number
