"""JSON Schema: sentences that name the field, names that resolve, and nothing that is ever fetched."""

import socket
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from labplane.validation.schemas import SchemaError, Schemas, check


def complain(schema: dict[str, Any], value: Any) -> str | None:
    return Schemas().compile(schema, "here").complaint(value)


@pytest.mark.parametrize(
    ("schema", "value", "sentence"),
    [
        ({"type": "integer"}, 2000.0, "the body must be of type integer, not number"),
        ({"type": "integer"}, True, "the body must be of type integer, not boolean"),
        ({"type": "integer"}, "1", "the body must be of type integer, not string"),
        ({"type": ["integer", "null"]}, [], "the body must be of type integer or null, not array"),
        ({"type": "object"}, None, "the body must be of type object, not null"),
        ({"type": "string"}, {}, "the body must be of type string, not object"),
        (
            {"properties": {"a": {"items": {"type": "string"}}}},
            {"a": ["x", 1]},
            "'a.1' must be of type string, not integer",
        ),
        ({"required": ["name", "id"]}, {"id": 1}, "the body lacks the required 'name'"),
        (
            {"properties": {"b": {}, "a": {}}, "additionalProperties": False},
            {"c": 1, "d": 2},
            "the body has the unknown 'c', 'd'; allowed are 'a', 'b'",
        ),
        ({"additionalProperties": False}, {"c": 1}, "the body has the unknown 'c'; allowed are none"),
        ({"minLength": 1}, "", "the body must not be empty"),
        ({"minLength": 3}, "ab", "the body must have at least 3 characters, not 2"),
        ({"maxLength": 3}, "abcd", "the body must have at most 3 characters, not 4"),
        ({"minimum": 1}, 0, "the body must be at least 1"),
        ({"maximum": 65535}, 65536, "the body must be at most 65535"),
        ({"enum": ["a", 1]}, "b", "the body must be one of 'a', '1'"),
        ({"const": "a"}, "b", "the body must be 'a'"),
        ({"pattern": "^a$", "description": "the letter a"}, "b", "the body must match the letter a"),
        ({"pattern": "^a$"}, "b", "the body must match ^a$"),
        ({"minItems": 2}, [1], "the body: [1] is too short"),
    ],
)
def test_a_complaint_names_the_field_and_what_is_allowed(schema: dict[str, Any], value: Any, sentence: str) -> None:
    assert complain(schema, value) == sentence


def test_what_satisfies_the_schema_gives_no_complaint() -> None:
    assert complain({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": 10**30}) is None


@settings(max_examples=20)
@given(st.text(min_size=300, max_size=400))
def test_a_long_value_is_not_repeated(value: str) -> None:
    schemas: list[dict[str, Any]] = [
        {"type": "integer"},
        {"maxLength": 5},
        {"enum": ["a"]},
        {"not": {}},
        {"pattern": "^\\Z"},
    ]
    for schema in schemas:
        assert len(complain(schema, value) or "") < 260
    assert len(complain({"additionalProperties": False}, {value + str(n): n for n in range(50)}) or "") < 500


@pytest.mark.parametrize("depth", [100, 900, 998])
def test_a_deeply_nested_value_in_the_wrong_place_is_only_a_complaint(depth: int) -> None:
    """It is what a hostile body looks like; to print it would need more stack than there is."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    for rule in ({"type": "string"}, {"enum": ["a"]}, {"maxItems": 0}, {"const": 1}):
        assert complain({"properties": {"name": rule}}, {"name": value})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strange"},
        {"properties": []},
        {"minimum": "1"},
        {"pattern": "("},
        {"required": "name"},
        {"properties": {"a": {"type": "strange"}}},
        {"default": {1, 2}},
        {"properties": {1: {}, "1": {"type": 1}}},
        {"default": float("nan")},
        [],
        None,
        "string",
    ],
)
def test_an_invalid_schema_is_refused_where_it_comes_in(schema: Any) -> None:
    with pytest.raises(SchemaError, match=r"^there: "):
        check(schema, "there")


def test_a_schema_may_be_any_mapping_and_is_copied() -> None:
    properties = {"a": {"type": "string"}}
    plain = check(MappingProxyType({"properties": MappingProxyType(properties)}), "there")
    properties["a"]["type"] = "strange"
    assert plain == {"properties": {"a": {"type": "string"}}}


def test_schemas_refer_to_each_other_by_name_in_any_order_and_in_circles() -> None:
    schemas = Schemas()
    schemas.add(
        {
            "Tree": {"type": "array", "items": {"$ref": "labplane:Node"}},
            "Node": {"properties": {"size": {"type": "integer"}, "below": {"$ref": "labplane:Tree"}}},
        }
    )
    rule = schemas.compile({"$ref": "labplane:Tree"}, "body")
    assert rule.complaint([{"below": [{"size": 1}]}]) is None
    assert rule.complaint([{"below": [{"size": "1"}]}]) == "'0.below.0.size' must be of type integer, not string"


def test_a_schema_refers_to_its_own_definitions() -> None:
    schema = {"$defs": {"port": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/port"}}}
    assert complain(schema, {"a": "x"}) == "'a' must be of type integer, not string"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "labplane:Nowhere"},
        {"properties": {"a": {"prefixItems": [{"$ref": "labplane:Nowhere"}]}}},
        {"allOf": [{"$ref": "#/$defs/nowhere"}]},
        {"properties": {"default": {"$ref": "labplane:Nowhere"}}},
        {"$ref": "file:///etc/passwd"},
        {"$dynamicRef": "#nowhere"},
        {"$ref": "#/$defs/a~1b", "$defs": {"a": {}}},
        {"$ref": "labplane:Known#/properties/none"},
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_at_once(schema: dict[str, Any]) -> None:
    schemas = Schemas()
    schemas.add({"Known": {}})
    with pytest.raises(SchemaError, match=r"^here: \$ref .* leads nowhere; named schemas: labplane:Known$"):
        schemas.compile(schema, "here")


def test_a_reference_of_an_unusual_form_leads_where_it_says() -> None:
    schemas = Schemas()
    schemas.add({"Known": {"properties": {"a": {"type": "integer"}}}})
    for reference in ("labplane:Known#/properties/a", "#/$defs/x~1y", "#/allOf/0", "#here"):
        schema = {
            "properties": {"it": {"$ref": reference}},
            "$defs": {"x/y": {"type": "integer"}, "z": {"$anchor": "here", "type": "integer"}},
            "allOf": [{"type": ["integer", "object"]}],
        }
        rule = schemas.compile(schema, "here")
        assert rule.complaint({"it": 1}) is None, reference
        assert rule.complaint({"it": "x"}), reference


def test_what_merely_looks_like_a_reference_is_none() -> None:
    schema = {"const": {"$ref": "labplane:Nowhere"}, "default": {"$ref": "labplane:Nowhere"}}
    assert complain(schema, {"$ref": "labplane:Nowhere"}) is None
    assert complain({"properties": {"$ref": {"type": "string"}}}, {"$ref": 1}) == (
        "'$ref' must be of type string, not integer"
    )


def test_nothing_is_ever_fetched() -> None:
    """Neither when a schema comes in nor when a body is validated."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
    with listener:
        for keyword in ("$ref", "$dynamicRef"):
            with pytest.raises(SchemaError):
                Schemas().compile({"properties": {"a": {keyword: address}}}, "here")
        complain({"$schema": address, "$id": address, "type": "object"}, [])
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_name_is_taken_once() -> None:
    schemas = Schemas()
    schemas.add({"A": {"type": "object"}})
    with pytest.raises(SchemaError, match="the schema name 'A' is taken"):
        schemas.add({"A": {"type": "array"}})


def test_what_is_added_to_a_copy_arrives_only_when_it_is_taken_over() -> None:
    schemas = Schemas()
    copy = schemas.copy()
    copy.add({"A": {"type": "object"}})
    assert "A" not in schemas.named
    with pytest.raises(SchemaError):
        schemas.compile({"$ref": "labplane:A"}, "here")
    schemas.take_over(copy)
    assert schemas.compile({"$ref": "labplane:A"}, "here").complaint(1)
