"""A topology file of any revision becomes that of the project it arrives in, and nothing else of it changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from labplane import Arrival
from labplane_gns3.jsontext import JSONText
from labplane_gns3.topology import TopologyFile

OLD, NEW = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
PROJECT = "11111111-1111-4111-8111-111111111111"
ELSEWHERE = {"id": 2, "local": False, "host": "192.0.2.7", "port": 3080}
LOCAL = {"id": 3, "local": True, "host": "127.0.0.1", "port": 3080, "protocol": "http", "vm": False}


def adopted(root: Path, text: str | bytes, name: str | None = "New") -> tuple[bytes, list[str]]:
    """What is in the topology file after its arrival, under whatever name, and what is said of it."""
    (root / "project.gns3").write_bytes(text if isinstance(text, bytes) else text.encode())
    said = list(TopologyFile().adopt(root, Arrival(PROJECT, name, {OLD: NEW, NEW: OLD})))
    (there,) = root.iterdir()
    return there.read_bytes(), said


def topology(revision: int | None, **members: Any) -> dict[str, Any]:
    found = {"name": "Old", "project_id": OLD.replace("a", "c"), "topology": members, "version": "x"}
    return found if revision is None else found | {"revision": revision}


@pytest.mark.parametrize("revision", [5, 6, 7, 8, 9, 10, 11, "9", 4.5])
def test_a_topology_of_gns3_2_gets_its_id_and_name_alone(tmp_path: Path, revision: Any) -> None:
    """F-13: it has computes and no servers, whatever stands in its nodes; so has one of a revision not known yet."""
    old = topology(revision, computes=[], nodes=[{"compute_id": "local", "node_id": OLD, "server_id": 7}], links=[])
    new, said = adopted(tmp_path, json.dumps(old))
    old |= {"name": "New", "project_id": PROJECT}
    old["topology"]["nodes"][0]["node_id"] = NEW
    assert (new.decode(), said) == (json.dumps(old), [])


@pytest.mark.parametrize("revision", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"servers": [LOCAL], "nodes": [{"server_id": 3}]}, {"servers": [LOCAL], "nodes": [{"server_id": 3}]}),
        ({"servers": []}, {"servers": []}),
        ({}, {}),
        ({"nodes": [{"id": 1}]}, {"nodes": [{"id": 1}]}),
        (
            {"servers": [ELSEWHERE, LOCAL], "nodes": [{"server_id": 2}, {"server_id": 3}, {}]},
            {"servers": [LOCAL], "nodes": [{"server_id": 3}, {"server_id": 3}, {}]},
        ),
        (
            {"servers": [ELSEWHERE], "nodes": [{"server_id": 2}]},
            {"servers": [{"id": 1, "local": True}], "nodes": [{"server_id": 1}]},
        ),
        (
            {"servers": [ELSEWHERE | {"vm": True}], "nodes": []},
            {"servers": [{"id": 1, "local": True, "vm": False}], "nodes": []},
        ),
        (
            {"nodes": [{"server_id": 2}]},
            {"servers": [{"id": 1, "local": True, "vm": False}], "nodes": [{"server_id": 1}]},
        ),
    ],
)
def test_a_topology_of_gns3_1_has_this_one_server(
    tmp_path: Path, revision: int | None, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """F-13: the members of 1.3 to 1.5 come out as the programs of these versions wrote them, none is added to 1.0's."""
    new, said = adopted(tmp_path, json.dumps(topology(revision, **before)))
    wanted = topology(revision, **after) | {"name": "New", "project_id": PROJECT}
    assert (json.loads(new), said) == (wanted, [])


AWKWARD = """\ufeff{ "revision" : 9 ,\r
  "zoom": 1e2, "scale": 1.10, "big": BIG, "nan": NaN, "twice": 1, "twice": {"a" :[ ]},
  "name" : "Old", "name": "New", "project_id": "ID", "escaped": "\\u00e9\\/\\ud800", "raw": "é\t" ,
  "topology": { "computes":[],"nodes":[ ] }, "empty": {} }\n""".replace("BIG", "1" * 5000).replace("ID", PROJECT)


def test_a_topology_in_which_nothing_has_to_change_stays_to_the_byte(tmp_path: Path) -> None:
    """F-13: mark, spaces, line ends, numbers of any size and form, members twice, escapes, members of nobody's."""
    assert adopted(tmp_path, AWKWARD) == (AWKWARD.encode(), [])
    assert [path.name for path in tmp_path.iterdir()] == ["New.gns3"]


def test_only_what_has_to_change_changes(tmp_path: Path) -> None:
    """F-13: of members with one name the last one counts, as everywhere (T-11)."""
    text = AWKWARD.replace('"name": "New"', f'"name":null, "id": "{OLD}", "note": "x{OLD}-1 {OLD.upper()}"')
    wanted = AWKWARD.replace('"name": "New"', f'"name":"New", "id": "{NEW}", "note": "x{OLD}-1 {NEW}"')
    assert adopted(tmp_path, text) == (wanted.encode(), [])


def test_ids_that_change_places_do_so(tmp_path: Path) -> None:
    """F-13: each id is replaced once."""
    new, _ = adopted(tmp_path, json.dumps(topology(4, nodes=[{"vm_id": OLD}, {"vm_id": NEW}])))
    assert [node["vm_id"] for node in json.loads(new)["topology"]["nodes"]] == [NEW, OLD]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff\xfe{\x00}\x00",
        b'{"topology": {}',
        b'{"topology": {}} {}',
        b'{"topology": []}',
        b'{"name": "x"}',
        b"[" * 200_000,
        b'{"topology": {}, "a": "\xe9"}',
    ],
    ids=["nothing", "UTF-16", "cut", "more", "list", "no topology", "deep", "latin-1"],
)
def test_what_cannot_be_read_stays_as_it_is_and_is_told(tmp_path: Path, bad: bytes) -> None:
    """F-13: under its name, too."""
    new, said = adopted(tmp_path, bad)
    assert new == bad
    assert [path.name for path in tmp_path.iterdir()] == ["project.gns3"]
    assert [sentence.startswith("The topology file 'project.gns3' stays as it is") for sentence in said] == [True]


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("project.gns3", '{"name": "Campus", "topology": {}}', "Campus"),
        ("Campus.gns3", '{"name": "Other", "topology": {}}', "Other"),
        ("Campus.gns3", '{"name": null, "topology": {}}', "Campus"),
        ("Campus.gns3", '{"name": 7, "topology": {}}', "Campus"),
        ("Campus.gns3", '{"name": "", "topology": {}}', "Campus"),
        ("Ca.mpus.gns3", "no topology", "Ca.mpus"),
        ("project.gns3", "no topology", None),
        ("project.gns3", "[]", None),
        (".gns3", "{}", None),
        ("notes.txt", '{"name": "Campus", "topology": {}}', None),
    ],
)
def test_the_project_is_called_as_its_topology_says(tmp_path: Path, file: str, text: str, name: str | None) -> None:
    """F-13: else as the file is called, unless that name says nothing."""
    (tmp_path / file).write_text(text)
    assert TopologyFile().project_name(tmp_path) == name


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a b.c ü", "a b.c ü.gns3"),
        ("a/b", "project.gns3"),
        ("a\\b", "project.gns3"),
        (".a", "project.gns3"),
        ("x" * 251, "project.gns3"),
    ],
)
def test_the_file_is_called_as_the_project_if_that_can_be_a_file(tmp_path: Path, name: str, file: str) -> None:
    adopted(tmp_path, '{"topology": {}}', name)
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert TopologyFile().names(tmp_path) == {file: "project.gns3"}


def test_of_two_topologies_neither_is_touched(tmp_path: Path) -> None:
    """F-8: unless one has the name by which archives have it."""
    for name in ("a.gns3", "b.gns3"):
        (tmp_path / name).write_text('{"name": "x", "topology": {}}')
    part = TopologyFile()
    assert (part.names(tmp_path), part.project_name(tmp_path)) == ({}, None)
    assert list(part.adopt(tmp_path, Arrival(PROJECT, "New", {}))) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gns3", "b.gns3"]
    (tmp_path / "project.gns3").write_text("{}")
    assert part.names(tmp_path) == {"project.gns3": "project.gns3"}


def test_places_are_found_whatever_stands_between_them() -> None:
    text = JSONText(' { "a" : [ 1 ,{} , [ ] ], "b":{}, "c" : -0.0e5 }\n')
    members = text.members(text.root)
    assert [text.raw(place) for place in members.values()] == ["[ 1 ,{} , [ ] ]", "{}", "-0.0e5"]
    assert [text.raw(item) for item in text.items(members["a"])] == ["1", "{}", "[ ]"]
    assert (text.members(members["a"]), text.items(members["b"]), text.members(members["b"])) == ({}, [], {})
    text.insert(members["b"], "d", "[]")
    text.replace(members["c"], "7")
    assert text.changed() == ' { "a" : [ 1 ,{} , [ ] ], "b":{"d": []}, "c" : 7 }\n'
