"""Lab files: what is in them, and what is said of those that are wrong."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml.scanner import RoundTripScanner

from labplane_labs import ids
from labplane_labs.labfile import End, LabFile, Link, Node, Test, load
from labplane_labs.problems import BadFile

WHOLE = """\
name: class7b
defaults: {kind: vpcs}
nodes:
  sw1: {kind: switch, ports: 4}
  pc1: {startup: ip 10.0.0.1/24, position: [300, 120], notes: no. 1}
  pc2:
    startup:
      - ip 10.0.0.2/24
      - set pcname %h
  pc3:
links:
  - [pc1, sw1]
  - {endpoints: [pc2, "sw1:2"]}
  - {endpoints: [pc3], nio: {type: nio_tap, tap_device: tap0}}
tests:
  - {name: a ping, node: pc1, run: ping 10.0.0.2, expect: "ttl=", attempts: 2}
  - {node: pc1, run: show ip}
"""


def parsed(tmp_path: Path, schema: Any, text: str) -> LabFile:
    file = tmp_path / "lab.yaml"
    file.write_text(text)
    return load(file, schema)


def problems(tmp_path: Path, schema: Any, text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(BadFile) as raised:
        parsed(tmp_path, schema, text)
    return [(problem.line, problem.column, problem.message) for problem in raised.value.problems]


def test_a_lab_is_read_as_it_is_meant(tmp_path: Path, schema: Any) -> None:
    assert parsed(tmp_path, schema, WHOLE) == LabFile(
        "class7b",
        {
            "sw1": Node("sw1", "switch", {"ports": 4}),
            "pc1": Node("pc1", "vpcs", {"startup_script": "ip 10.0.0.1/24\n"}, (300, 120), "no. 1"),
            "pc2": Node("pc2", "vpcs", {"startup_script": "ip 10.0.0.2/24\nset pcname %h\n"}),
            "pc3": Node("pc3", "vpcs", {}),
        },
        [
            Link((End("pc1", None), End("sw1", None))),
            Link((End("pc2", None), End("sw1", "2"))),
            Link((End("pc3", None),), {"type": "nio_tap", "tap_device": "tap0"}),
        ],
        [
            Test("a ping", "pc1", "ping 10.0.0.2", expect="ttl=", attempts=2),
            Test("pc1: show ip", "pc1", "show ip"),
        ],
    )


def test_editors_find_the_same_lab_good(schema: Any) -> None:
    """The schema alone, as an editor uses it."""
    from labplane_labs.reading import Document

    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(Document("lab.yaml", WHOLE).data)) == []
    for bad in (
        WHOLE.replace("ports: 4", "ports: many"),
        WHOLE.replace("notes:", "note:"),
        WHOLE.replace("node:", "n:"),
    ):
        assert list(validator.iter_errors(Document("lab.yaml", bad).data))


def test_defaults_are_for_those_nodes_whose_kind_has_them(tmp_path: Path, schema: Any) -> None:
    lab = parsed(
        tmp_path,
        schema,
        "name: a\ndefaults: {kind: vpcs, startup: dhcp, ports: 5}\n"
        "nodes: {pc: {}, own: {startup: null}, sw: {kind: switch}}",
    )
    assert [node.settings for node in lab.nodes.values()] == [
        {"startup_script": "dhcp\n"},
        {"startup_script": None},
        {"ports": 5},
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("nodes: {}", 1, 1, "'name' is missing"),
        ("name: a b\nnodes: {}", 1, 7, "does not match"),
        (
            "name: a\nnodes: {}\nlinsk: []",
            3,
            1,
            "there is no 'linsk' here; there is defaults, links, name, nodes, tests",
        ),
        ("name: a\nnodes:\n  pc: {kind: vpsc}", 3, 14, "there is no kind 'vpsc' here; there is"),
        ("name: a\nnodes:\n  pc: {}", 3, 3, "pc has no kind"),
        ("name: a\nnodes:\n  pc:\n    kind: vpcs\n    ports: 7", 5, 5, "there is no 'ports' here"),
        ("name: a\nnodes:\n  sw: {kind: switch, ports: 65}", 3, 29, "65 is greater than the maximum of 64"),
        ("name: a\nnodes:\n  sw: {kind: switch, startup: x}", 3, 22, "there is no 'startup' here"),
        ("name: a\nnodes:\n  pc: {kind: vpcs, position: [1]}", 3, 30, "too short"),
        ("name: a\ndefaults: {kind: switch, ports: no}\nnodes: {sw: }", 2, 33, "'no' is not of type 'integer'"),
        ("name: a\nnodes:\n  -pc: {kind: vpcs}", 3, 3, "begins with a letter"),
        ("name: a\nnodes: {pc: {kind: vpcs}}\nlinks:\n  - [pc]", 4, 5, "a link is [NODE, NODE]"),
        ("name: a\nnodes: {pc: {kind: vpcs}}\nlinks:\n  - [pc, pc2]", 4, 5, "there is no node 'pc2'; there are pc"),
        (
            "name: a\nnodes: {s: {kind: switch}}\nlinks:\n  - ['s:1', s]\n  - ['s:1', s]",
            5,
            5,
            "s:1 is linked twice",
        ),
        ("name: a\nnodes: {pc: {kind: vpcs}}\ntests: [{node: pd, run: x}]", 3, 16, "there is no node 'pd'"),
        (
            "name: a\nnodes: {pc: {kind: vpcs}}\ntests: [{node: pc, run: x, expect: '('}]",
            3,
            36,
            "no regular expression",
        ),
        ("name: a\nnodes: {pc: {kind: vpcs}, pc: {kind: vpcs}}", 2, 27, "duplicate key"),
        ("name: a\nnodes: [", 2, 9, "this is no YAML"),
        ("name: a\nnodes: {7: {kind: vpcs}}", 2, 9, "the key 7 is no text"),
        ("name: 2026-11-28\nnodes: {}", 1, 7, "put it into quotes"),
        ("", 1, 1, "None is not of type 'object'"),
        ("name: a\nnodes: {pc: {kind: vpcs, position: [.nan, 1]}}", 2, 37, "nan is no number"),
        ('{"name": "a", "nodes": {"pc": {"kind": "vpcs", "position": [1e400, 1]}}}', 1, 61, "inf is no number"),
        ('name: a\nnodes: {pc: {kind: vpcs, notes: "\\ud800"}}', 2, 33, "half of a character"),
        ('{"name": "a", "nodes": {"pc": {"kind": "vpcs", "notes": "\\ud800"}}}', 1, 57, "half of a character"),
        ('{"name": "a",\n "name": "b", "nodes": {}}', 2, 2, "duplicate key"),
        ("[" * 20_000, 0, 0, "too much"),
        ("{a: " * 20_000, 0, 0, "too much"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, schema: Any, text: str, line: int, column: int, words: str
) -> None:
    found = problems(tmp_path, schema, text)
    assert [one[:2] for one in found] == [(line, column)], found
    assert words in found[0][2]


def test_json_is_read_as_the_yaml_that_it_is(tmp_path: Path, schema: Any) -> None:
    lab = parsed(tmp_path, schema, WHOLE)
    assert lab.document is not None
    as_json = json.dumps(lab.document.data)
    assert parsed(tmp_path, schema, as_json) == lab
    assert problems(tmp_path, schema, as_json.replace('"pc3": null', '"pc3": 7'))[0][:2] == (
        1,
        as_json.index('"pc3": null') + 8,
    )


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path, schema: Any) -> None:
    text = """\
        name: a
        nodes:
          one: {kind: vpcs, prots: 1}
          two: {kind: nothing}
        links:
          - [one, three]
        """
    assert [line for line, _, _ in problems(tmp_path, schema, textwrap.dedent(text))] == [3, 4, 6]


def test_a_file_that_makes_much_of_little_is_refused(tmp_path: Path, schema: Any) -> None:
    """Aliases of aliases."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 9)]
    assert "too much" in problems(tmp_path, schema, "\n".join(lines))[0][2]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, schema: Any) -> None:
    with pytest.raises(BadFile, match="No such file"):
        load(tmp_path / "nothing.yaml", schema)
    (tmp_path / "latin.yaml").write_bytes("name: \u00e4".encode("latin-1"))
    with pytest.raises(BadFile, match="not in UTF-8"):
        load(tmp_path / "latin.yaml", schema)


def test_ids_follow_from_names_alone() -> None:
    """They must never change: a lab is found again by them."""
    assert ids.project_id("class7b") == "c997f7e3-aa09-5caf-935e-a75124cb5a80"
    assert ids.vm_id("class7b", "pc1") == "3d674ad8-3086-5673-9b81-ea4b22f5f5c3"


def test_brackets_are_counted_before_they_are_read_ahead(
    tmp_path: Path, schema: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library compares each with all that are open: a file of 20 KB took half a minute."""
    looks = 0
    look = RoundTripScanner.stale_possible_simple_keys

    def counted(scanner: RoundTripScanner) -> None:
        nonlocal looks
        looks += 1
        look(scanner)

    monkeypatch.setattr(RoundTripScanner, "stale_possible_simple_keys", counted)
    for opening in ("[", "{", "[a, ", "[{"):
        assert "too much" in problems(tmp_path, schema, opening * 20_000)[0][2]
    assert looks < 4000
    assert parsed(tmp_path, schema, f"name: a\nnodes: {{pc: {{kind: vpcs, notes: {'x' * 10} }}}}\n").nodes.keys() == {
        "pc"
    }
