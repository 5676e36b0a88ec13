"""The shortcut says yes to nothing that jsonschema refuses, and to everything that clients send as a rule (T-11)."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings, strategies as st

from labplane.net.nios import NIO_TAP, NIO_UDP, nio_schema
from labplane.validation.named import NAMED
from labplane.validation.schemas import Schemas, references_in
from labplane.validation.shortcut import is_everyday, leads_somewhere, shortcut
from labplane.validation.thorough import LabValidator, dead_reference


def nothing_named(_: str) -> None:
    return None


words = st.sampled_from(["a", "b", "type", "name"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 2.0, 1e300]) | words | st.just("")
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
kinds = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
everyday: dict[str, st.SearchStrategy[Any]] = {
    "type": kinds | st.lists(kinds, min_size=1, max_size=3, unique=True),
    "minLength": st.integers(0, 3),
    "maxLength": st.integers(0, 3),
    "minimum": st.integers(-2, 2),
    "maximum": st.integers(-2, 2),
    "exclusiveMinimum": st.integers(-2, 2),
    "exclusiveMaximum": st.integers(-2, 2),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "pattern": st.sampled_from(["^a", "b$", "."]),
    "const": words,
    "enum": st.lists(words, min_size=1, unique=True),
    "required": st.lists(words, unique=True, max_size=2),
    "additionalProperties": st.booleans(),
    "description": words,
}
unusual: dict[str, st.SearchStrategy[Any]] = {
    "multipleOf": st.integers(1, 2),
    "prefixItems": st.just([{"type": "integer"}]),
    "const": scalars,
    "enum": st.lists(scalars, min_size=1, max_size=2),
    "additionalProperties": st.just({"type": "integer"}),
    "not": st.just({"type": "string"}),
    "else": st.just(False),
    "patternProperties": st.just({"^a": {}}),
}


def schemas(keywords: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        deep: dict[str, Any] = {"properties": st.dictionaries(words, inner, max_size=3), "if": inner, "then": inner}
        deep["items"] = inner
        deep["allOf"] = st.lists(inner, min_size=1, max_size=2)
        return st.fixed_dictionaries({}, optional={**keywords, **deep})

    return st.recursive(st.fixed_dictionaries({}, optional=keywords), nested, max_leaves=4)


@given(schemas(everyday), values)
def test_of_everyday_schemas_it_says_what_jsonschema_says(schema: Any, value: Any) -> None:
    if "then" in schema and "if" not in schema:
        del schema["then"]
    accepted = shortcut(schema, nothing_named)(value)
    valid = LabValidator(schema).is_valid(value)
    assert accepted <= valid
    if "additionalProperties" not in str(schema) and "then" not in str(schema):
        assert accepted == valid


@given(schemas({**everyday, **unusual}), values)
def test_it_never_says_yes_to_what_jsonschema_refuses(schema: Any, value: Any) -> None:
    assert shortcut(schema, nothing_named)(value) <= LabValidator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("nio", "yes"),
    [
        ({"type": "nio_udp", "lport": 1, "rport": 65535, "rhost": "h"}, True),
        ({"type": "nio_tap", "tap_device": "tap0"}, True),
        ({"type": "nio_null", "whatever": 1}, True),
        ({"type": "nio_udp", "lport": 1.0, "rport": 65535, "rhost": "h"}, False),
        ({"type": "nio_udp", "lport": True, "rport": 65535, "rhost": "h"}, False),
        ({"type": "nio_tap", "tap_device": ""}, False),
        ({"type": "nio_alien"}, False),
        ([], False),
    ],
)
def test_it_knows_the_schema_of_nios(nio: Any, yes: bool) -> None:
    schema = nio_schema({"nio_udp": NIO_UDP, "nio_tap": NIO_TAP})
    assert shortcut(schema, lambda reference: NAMED.get(reference.removeprefix("labplane:")))(nio) is yes


def test_it_follows_named_schemas_and_leaves_those_that_name_themselves_alone() -> None:
    named = Schemas()
    named.add({"Name": {"type": "string"}, "Tree": {"properties": {"child": {"$ref": "labplane:Tree"}}}})
    assert named.compile({"$ref": "labplane:Name"}, "here").accepts("x")
    assert not named.compile({"$ref": "labplane:Name"}, "here").accepts(1)
    assert not named.compile({"$ref": "labplane:Tree"}, "here").accepts({})


keywords = st.sampled_from(
    (
        *everyday,
        *unusual,
        *("if", "items", "properties", "allOf", "anyOf", "$defs", "$ref", "examples", "x-own", "uniqueItems"),
        *("deprecated", "format", "default", "maxProperties"),
    )
)
rules = scalars | kinds | st.sampled_from(["(", "#/a", "labplane:A", "a b"])
nearly = st.recursive(
    rules,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2) | st.dictionaries(keywords, inner)
    ),
    max_leaves=6,
)


def is_valid_schema(schema: Any) -> bool:
    try:
        LabValidator.check_schema(schema)
    except jsonschema.SchemaError:
        return False
    return True


@given(schemas({**everyday, "patternProperties": st.just({"^a": {"not": True}})}))
def test_schemas_of_everyday_keywords_are_valid_at_once(schema: Any) -> None:
    assert is_everyday(schema)
    assert is_valid_schema(schema)


@given(st.dictionaries(keywords, nearly, min_size=1))
def test_what_jsonschema_calls_no_schema_is_not_everyday(schema: Any) -> None:
    assert is_everyday(schema) <= is_valid_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"type": []},
        {"type": ["string", "string"]},
        {"type": ["string", ["null"]]},
        {"minLength": -1},
        {"minLength": True},
        {"minimum": "1"},
        {"pattern": "("},
        {"patternProperties": {"(": {}}},
        {"required": "name"},
        {"required": ["name", "name"]},
        {"required": [1]},
        {"properties": []},
        {"properties": {"name": None}},
        {"items": [{}]},
        {"allOf": []},
        {"anyOf": {}},
        {"enum": "a"},
        {"title": 1},
        {"deprecated": "yes"},
        {"$ref": 1},
        {"$defs": {"inner": {"properties": {"deep": {"type": "text"}}}}},
        {"dependentSchemas": 1},
        [],
    ],
    ids=str,
)
def test_faults_of_each_kind_in_schemas_are_left_to_jsonschema(schema: Any) -> None:
    assert not is_everyday(schema)
    assert not is_valid_schema(schema)


references = st.sampled_from(
    [
        "#",
        "#/$defs/a",
        "#/$defs/b/items",
        "#/none",
        "labplane:A",
        "labplane:B",
        "labplane:C",
        "labplane:A#/items",
        "#x",
        "",
    ]
)
parts = st.recursive(
    st.dictionaries(st.sampled_from(["$ref"]), references),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "items": inner,
            "$defs": st.dictionaries(st.sampled_from(["a", "b"]), inner),
            "properties": st.dictionaries(st.sampled_from(["$ref", "$id", "x"]), inner, max_size=2),
            "const": st.fixed_dictionaries({"$ref": references}),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "$anchor": st.just("x"),
            "$dynamicRef": references,
            "$id": st.just("labplane:B"),
        },
    ),
    max_leaves=5,
)


@settings(max_examples=300)
@given(parts, parts)
def test_a_reference_that_leads_nowhere_never_seems_to_lead_somewhere(schema: Any, other: Any) -> None:
    named = {"labplane:A": {"type": "string"}, "labplane:B": other}
    if leads_somewhere(schema, named.get):
        assert dead_reference(schema, named, references_in) is None
