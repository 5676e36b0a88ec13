"""Values for a schema: those that shall fit do, and those that shall not do not."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from labplane.testing.published import Published
from labplane.testing.values import fitting, objects, odd_objects, sample, unfitting

TREE = {"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Tree"}, "size": {"type": "integer"}}}
OWN: dict[str, Any] = {
    "anything": {},
    "switch": {"type": "boolean"},
    "word": {"enum": ["one", "two", None]},
    "one": {"const": 1},
    "count": {"type": "integer", "minimum": 2, "maximum": 6, "multipleOf": 2},
    "open": {"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 4},
    "share": {"type": "number", "minimum": 0, "maximum": 1},
    "size": {"type": ["integer", "null"], "default": 64},
    "text": {"type": "string", "minLength": 2, "maxLength": 5},
    "mac": {"type": "string", "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"},
    "slots": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 1, "maxItems": 2, "uniqueItems": True},
    "disk": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "flags": {"type": "object", "additionalProperties": {"type": "boolean"}},
    "choice": {"anyOf": [{"type": "integer", "minimum": 7}, {"type": "string", "minLength": 3}]},
    "both": {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 4}]},
    "other": {"type": "integer", "not": {"const": 0}},
    "tree": {"$ref": "#/components/schemas/Tree"},
}


@pytest.fixture
def published() -> Published:
    """A document of a kind with all sorts of settings."""
    kernels = {"name": {"type": "string", "minLength": 1}}
    whole = {"type": "object", "properties": {**kernels, **OWN}, "required": ["name"]}
    nio = {"type": "object", "properties": {"type": {"enum": ["nio_tap", "nio_udp"]}}, "required": ["type"]}
    schemas = {"BigBoxCreate": whole, "BigBoxUpdate": whole, "BigBoxVM": whole, "BigBoxNIO": nio, "Tree": TREE}
    vm = "/v1/projects/{project_id}/big_box/vms/{vm_id}"
    return Published("big_box", {"components": {"schemas": schemas}, "paths": {f"{vm}/start": {}, f"{vm}/stop": {}}})


def test_what_is_published_is_read_from_the_document(published: Published) -> None:
    assert published.own == OWN
    assert published.actions == ["start", "stop"]
    assert not published.has_console
    assert published.nio_types == {}
    assert published.foreign_nio_types == ["nio_tap", "nio_udp"]
    assert published.resolve(OWN["tree"]) == TREE


@pytest.mark.parametrize("name", OWN)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_values_that_shall_fit_do(name: str, published: Published, data: st.DataObject) -> None:
    value = data.draw(fitting(published, OWN[name]))
    assert published.complaint(OWN[name], value, name) is None


@pytest.mark.parametrize("name", OWN)
def test_values_that_shall_not_fit_do_not(name: str, published: Published) -> None:
    wrong = unfitting(published, OWN[name])
    assert bool(wrong) == (name != "anything")
    assert all(published.complaint(OWN[name], value, name) for value in wrong)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_objects_have_what_is_required(published: Published, data: st.DataObject) -> None:
    made = data.draw(objects(published, published.create["properties"], ["name", "mac"]))
    assert {"name", "mac"} <= made.keys()
    assert published.complaint(published.create, made, "it") is None


def test_the_sample_is_simple(published: Published) -> None:
    assert sample(published, OWN["count"]) == 2
    assert sample(published, OWN["disk"])["path"] == ""


def test_odd_texts_come_wherever_they_fit_and_only_there(published: Published) -> None:
    odd = odd_objects(published, {name: OWN[name] for name in ("text", "switch", "choice")})
    assert {"text": "-v"} in odd
    assert {"text": "!id", "choice": "!id"} in odd
    assert all(one.keys() <= {"text", "choice"} for one in odd)
