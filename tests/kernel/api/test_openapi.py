"""The document of the API says what the routes and schemas say, those of third parties included."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from fragile import Cat, Fragile
from inprocess import offering, own, serving, settings
from labplane import Plugin, Request, Route, Schema, hook, kernel
from labplane.api.openapi import ALWAYS, document
from labplane.api.vm_routes import ACTIONS, actions_of
from labplane.kernel import Kernel
from labplane.plugins.loading import Candidate
from labplane.validation.thorough import LabValidator

TREE: Schema = {
    "type": "object",
    "properties": {"children": {"type": "array", "items": {"$ref": "#"}}, "$ref": {"$ref": "#/$defs/word"}},
    "$defs": {"word": {"enum": ["labplane:Not a reference"]}},
}


class Trees(Plugin):
    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return {"Tree": TREE, "Forest": {"type": "array", "items": {"$ref": "labplane:Tree"}}}

    @hook
    def routes(self) -> Iterable[Route]:
        word: Schema = {"$defs": {"word": {"type": "string"}}, "properties": {"word": {"$ref": "#/$defs/word"}}}
        return [
            Route("PUT", "/v1/trees/{number:int}/{place:path}", _nothing, word, {"$ref": "labplane:Forest"}),
            Route("GET", "/trees", _nothing, media="text/html", refusals=(404, 418)),
            Route("DELETE", "/v1/projects/{project_id}/trees", _nothing, status=204),
        ]


def _nothing(_: Request) -> Any:
    return None


@pytest.fixture
def lab(tmp_path: Path) -> Kernel:
    trees = Candidate("trees", lambda: Trees, "labplane-trees", "1")
    return Kernel(settings(tmp_path, strict=True), [*own(), offering(Fragile, Cat), trees])


def test_the_document_is_valid(lab: Kernel) -> None:
    OpenAPIV31SpecValidator(json.loads(json.dumps(lab.document()))).validate()


def test_it_has_each_route_with_its_statuses_and_nothing_else(lab: Kernel) -> None:
    paths = lab.document()["paths"]
    there = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    routes = {(route.method, route.path.replace(":int", "").replace(":path", "")) for route in lab.routes.routes}
    cannot = {
        ("POST", f"/v1/projects/{{project_id}}/{kind}/vms/{{vm_id}}/{action}")
        for kind, driver in lab.drivers.items()
        for action in set(ACTIONS) - set(actions_of(driver))
    }
    sockets = {(method, path) for method, path in routes if method == "WEBSOCKET"}
    assert cannot < routes
    assert sockets
    parts = {("GET", "/docs/{part}"), ("GET", "/status/{part}")}
    assert there == routes - cannot - sockets - parts
    assert paths["/v1/version"]["post"]["responses"].keys() == {"200", "409", *map(str, ALWAYS)}
    assert paths["/v1/projects/{project_id}/trees"]["delete"]["responses"].keys() == {
        "204",
        "404",
        *map(str, ALWAYS),
    }


def test_what_a_third_party_brings_is_there_by_itself(lab: Kernel) -> None:
    found = lab.document()
    assert {"CatCreate", "CatVM", "FragileUpdate", "Tree"} <= found["components"]["schemas"].keys()
    create = found["paths"]["/v1/projects/{project_id}/fragile/vms"]["post"]
    assert create["tags"] == ["fragile"]
    assert create["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/FragileCreate"}}},
    }
    page = found["paths"]["/trees"]["get"]["responses"]
    assert list(page["200"]["content"]) == ["text/html"]
    assert page["404"] == {"$ref": "#/components/responses/NotFound"}
    assert page["418"] == {"$ref": "#/components/responses/LabError"}
    tree = found["paths"]["/v1/trees/{number}/{place}"]["put"]
    assert [(one["name"], one["schema"]["type"]) for one in tree["parameters"]] == [
        ("number", "integer"),
        ("place", "string"),
    ]
    assert tree["requestBody"]["required"] is False


def references(part: Any) -> Iterable[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_reference_leads_somewhere_in_the_document(lab: Kernel) -> None:
    found = lab.document()
    for reference in set(references(found)):
        place = found
        assert reference.startswith("#/"), reference
        for step in reference.removeprefix("#/").split("/"):
            place = place[step.replace("~1", "/").replace("~0", "~")]
    schemas = found["components"]["schemas"]
    assert schemas["Tree"]["properties"]["children"]["items"] == {"$ref": "#/components/schemas/Tree"}
    assert schemas["Tree"]["$defs"]["word"] == TREE["$defs"]["word"]


def test_its_schemas_say_what_the_server_checks(lab: Kernel) -> None:
    """The same verdicts as the schemas that requests are compared with."""
    found = lab.document()
    bodies: list[Any] = [{"name": "A"}, {}, {"name": ""}, {"name": "A", "console": 0}, {"name": "A", "size": "big"}]
    for body in bodies:
        there = lab.schemas.compile({"$ref": "labplane:FragileCreate"}, "here").complaint(body) is None
        documented = {**found, "$ref": "#/components/schemas/FragileCreate"}
        assert LabValidator(documented).is_valid(body) == there


def test_it_is_made_when_somebody_asks_first_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(*arguments: Any, **more: Any) -> Any:
        made.append(document(*arguments, **more))
        return made[-1]

    monkeypatch.setattr(kernel, "document", counted)
    with serving(tmp_path, [offering(Cat)]) as served:
        assert made == []
        replies = [served.http.get("/v1/openapi.json") for _ in range(3)]
        assert [reply.json() for reply in replies] == made * 3
        assert {reply.headers["content-type"] for reply in replies} == {"application/json"}


def test_it_has_an_example_of_each_nio_that_has_one(lab: Kernel) -> None:
    """Of all the types that an NIO may have, one that the kind takes."""
    schema = lab.document()["components"]["schemas"]["CatNIO"]
    assert schema["examples"] == [{"type": "nio_udp", "lport": 10000, "rhost": "127.0.0.1", "rport": 10001}]
    judge = lab.schemas.compile(lab.schemas.named["CatNIO"], "CatNIO")
    assert not any(judge.complaint(example) for example in schema["examples"])
