"""The named schemas of the kernel: what an id, a port number, a name is, wherever one is taken (E-4, N-1, P-15)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from inprocess import own, settings
from labplane.kernel import Kernel
from labplane.validation.named import NAMED, ref
from labplane.validation.schemas import Schemas

ID = "2d9f1ff3-9a6f-4d27-A6A6-4d7be2b5d5a1"

FITTING: dict[str, list[Any]] = {
    "UUID": [ID, ID.lower()],
    "PortNumber": [1, 65535],
    "Name": ["x", " ", "R 1", "../..", "%h", "名前 😀", "\xa0", "\u202e", "\ufeff", "x" * 255, "😀" * 255],
}
UNFITTING: dict[str, list[tuple[Any, str]]] = {
    "UUID": [
        ("", "must match a UUID, 8-4-4-4-12 hex digits"),
        ("x", "must match a UUID, 8-4-4-4-12 hex digits"),
        (ID.replace("-", ""), "must match a UUID"),
        (f"{{{ID}}}", "'it'"),
        (f"{ID}\n", "'it' must have at most 36 characters, not 37"),
        (1, "must be of type string"),
    ],
    "PortNumber": [
        (0, "must be at least 1"),
        (65536, "must be at most 65535"),
        (1.0, "must be of type integer"),
        (True, "must be of type integer"),
        ("80", "must be of type integer"),
    ],
    "Name": [
        ("", "must not be empty"),
        ("x" * 256, "must have at most 255 characters, not 256"),
        ("PC\nquit", "must match a text without control characters"),
        ("PC\n", "must match a text without control characters"),
        ("\r", "must match a text"),
        ("a\0b", "must match a text"),
        ("\x1b[2J", "must match a text"),
        ("a\x7f", "must match a text"),
        ("a\x85b", "must match a text"),
        ("\x9b2J", "must match a text"),
        ("a\u2028b", "must match a text"),
        ("\u2029", "must match a text"),
        (5, "must be of type string"),
    ],
}


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    schemas = Schemas()
    schemas.add(NAMED)
    return schemas


def complaint_of(schemas: Schemas, name: str, value: Any) -> str | None:
    """What is wrong with `value` as a member, as a request gets to hear it, once the quick answer was compared."""
    schema = {"type": "object", "properties": {"it": {**ref(name), "description": "beside it"}}}
    rule = schemas.compile(schema, "test")
    found = rule.complaint({"it": value})
    assert rule.accepts({"it": value}) is (found is None)
    return found


@pytest.mark.parametrize("name", FITTING)
def test_what_fits_is_taken_at_once(schemas: Schemas, name: str) -> None:
    for value in FITTING[name]:
        assert complaint_of(schemas, name, value) is None, value
        assert complaint_of(schemas, f"{name}OrNull", value) is None, value
    assert complaint_of(schemas, f"{name}OrNull", None) is None


@pytest.mark.parametrize("name", UNFITTING)
def test_what_does_not_fit_is_told_why_whether_null_would_do_or_not(schemas: Schemas, name: str) -> None:
    for value, words in UNFITTING[name]:
        assert words in str(complaint_of(schemas, name, value)), value
        found = complaint_of(schemas, f"{name}OrNull", value)
        kind = NAMED[name]["type"]
        assert words.replace(f"of type {kind}", f"of type {kind} or null") in str(found), value
    assert "must be of type" in str(complaint_of(schemas, name, None))


def test_no_other_schema_repeats_one_of_them(tmp_path: Path) -> None:
    """An id, a port number, a name is described once, for all routes of labplane's own."""
    lab = Kernel(settings(tmp_path), own())
    repeated = []

    def look(part: Any, at: str) -> None:
        if isinstance(part, dict):
            if "[0-9a-fA-F]{12}" in str(part.get("pattern")) and isinstance(part.get("type"), str):
                repeated.append(at)
            if part.get("maximum") == 65535 or r"\x00" in str(part.get("pattern")):
                repeated.append(at)
            for key, inner in part.items():
                look(inner, f"{at}/{key}")

    for name, schema in lab.schemas.named.items():
        if name not in NAMED:
            look(schema, name)
    assert repeated == []
    for folder in ("kernel", "plugins", "drivers"):
        for path in (Path(__file__).parents[3] / folder).rglob("labplane*/**/*.py"):
            if path.name != "named.py":
                assert not re.search(r'"maximum": 65535|\[0-9a-fA-F\]\{12\}', path.read_text()), path


def test_every_body_of_labplane_is_judged_without_jsonschema_when_it_fits(tmp_path: Path) -> None:
    """References, with and without null, keep nobody from the quick answer."""
    lab = Kernel(settings(tmp_path), own())
    bodies = {
        "ProjectCreate": {"name": "Lab", "path": None, "project_id": ID, "temporary": True},
        "ProjectUpdate": {"name": None, "path": "/x"},
        "VpcsCreate": {"name": "PC", "vm_id": ID, "console": None, "startup_script": None},
        "VpcsUpdate": {"name": "PC", "console": 2000},
        "VpcsNIO": {"type": "nio_udp", "lport": 1, "rhost": "127.0.0.1", "rport": 65535},
    }
    for name, body in bodies.items():
        assert lab.schemas.compile(ref(name), name).accepts(body), name


def test_the_document_shows_each_reference_as_its_own(tmp_path: Path) -> None:
    shown = Kernel(settings(tmp_path), own()).document()
    components = shown["components"]["schemas"]
    assert components["Name"]["maxLength"] == 255
    assert components["VpcsCreate"]["properties"]["name"] == {
        "$ref": "#/components/schemas/Name",
        "x-change": "live",
    }
    parameters = shown["paths"]["/v1/projects/{project_id}"]["get"]["parameters"]
    assert parameters[0]["schema"] == {"$ref": "#/components/schemas/UUID"}
    assert '"labplane:' not in json.dumps(shown)
