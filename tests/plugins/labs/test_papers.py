"""The commands `graph`, `inventory`, `doctor` and `completion`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from labs_at import Run, shown
from support import Server, free_range

LAB = """\
name: star
defaults: {kind: vpcs}
nodes:
  hub: {kind: switch}
  "pc1": {}
  pc2: {position: [10, 20]}
  pc3: {}
links:
  - [pc1, hub]
  - [pc2, "hub:5"]
  - {endpoints: [pc3], nio: {type: nio_udp, lport: 4712, rhost: 192.0.2.7, rport: 9}}
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def file(tmp_path: Path) -> Path:
    (tmp_path / "lab.yaml").write_text(LAB)
    return tmp_path / "lab.yaml"


def test_a_file_is_drawn_without_being_brought_up(run: Run) -> None:
    assert run("graph").stdout.splitlines() == [
        "graph LR",
        '    n0["hub<br>switch"]',
        '    n1["pc1<br>vpcs"]',
        '    n2["pc2<br>vpcs"]',
        '    n3["pc3<br>vpcs"]',
        "    n1 --- n0",
        '    n2 ---|"5"| n0',
        '    n3 --- out2(["nio_udp"])',
    ]
    dot = run("graph", "-f", "dot", "lab.yaml").stdout
    assert 'n2 -- n0 [taillabel="" headlabel="5"];' in dot
    assert 'label="pc2\\nvpcs" pos="10,-20"' in dot
    assert run("ps").stdout.splitlines()[1:] == []


def test_a_lab_that_is_up_is_drawn_with_its_ports(run: Run) -> None:
    run("up")
    drawing = fromstring(run("graph", "-f", "svg", "star").stdout)  # noqa: S314 - made by the command
    boxes = {box.get("data-node") for box in drawing.iter(f"{SVG}rect")} - {None}
    assert boxes == {"hub", "pc1", "pc2", "pc3"}
    texts = [text.text for text in drawing.iter(f"{SVG}text")]
    assert "eth5" in texts
    assert "192.0.2.7:9" in texts
    places = {box.get("data-node"): (box.get("x"), box.get("y")) for box in drawing.iter(f"{SVG}rect")}
    assert len(set(places.values())) == len(places)
    assert "No lab 'nothing' is up" in run("graph", "nothing", code=1).stderr


def test_names_cannot_break_out_of_a_drawing(run: Run) -> None:
    from labplane_labs import picture

    evil = '"><script>]\n'
    drawn = picture.Picture(evil, [picture.Spot(evil, evil, None)], [picture.Line(evil, evil, None, "", evil)])
    assert "<script>" not in picture.svg(drawn)
    fromstring(picture.svg(drawn))  # noqa: S314
    assert "<script>" not in picture.mermaid(drawn)
    assert '\n"' not in picture.dot(drawn)


def test_ansible_finds_the_nodes_by_lab_and_kind(run: Run, file: Path) -> None:
    file.write_text("".join(line for line in LAB.splitlines(keepends=True) if "pc3" not in line))
    run("up", "--count", "2")
    found = json.loads(run("inventory", "--list").stdout)
    assert found["kind_switch"]["hosts"] == ["star-01.hub", "star-02.hub"]
    assert sorted(found["lab_star_01"]["hosts"]) == ["star-01.hub", "star-01.pc1", "star-01.pc2"]
    assert set(found["all"]["children"]) == {"kind_switch", "kind_vpcs", "lab_star_01", "lab_star_02"}
    variables = json.loads(run("inventory", "--host", "star-02.pc1").stdout)
    assert variables == found["_meta"]["hostvars"]["star-02.pc1"]
    assert (variables["ansible_host"], variables["labplane_kind"]) == ("127.0.0.1", "vpcs")
    only = json.loads(run("inventory", "star-01").stdout)
    assert "pc1" in only["kind_vpcs"]["hosts"]


def test_doctor_says_that_all_is_there(run: Run) -> None:
    found = shown(run("doctor", "-o", "json"))
    assert {"kind": "vpcs", "message": None} in found["kinds"]
    assert "vpcs: ok\n" in run("doctor").stdout


def test_doctor_says_what_is_missing_where_no_server_runs(tmp_path: Path) -> None:
    (tmp_path / "labplane.toml").write_text('[plugins.vpcs]\nengine = "vpcs"\nprogram = "/nowhere/vpcs"\n')
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LABPLANE_")},
        "LABPLANE_CONFIG": str(tmp_path / "labplane.toml"),
        "LABPLANE_PORT": free_range(1).split("-")[0],
    }
    done = subprocess.run(
        [sys.executable, "-m", "labplane", "doctor"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "vpcs: " in done.stdout
    assert "/nowhere/vpcs" in done.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [("labplane exec pc", {"pc1", "pc2", "pc3"}), ("labplane down s", {"star"}), ("labplane gra", {"graph"})],
)
def test_names_complete_in_the_shell(run: Run, server: Server, words: str, completed: set[str]) -> None:
    """As bash asks."""
    run("up")
    assert "_LABPLANE_COMPLETE=bash_complete" in run("completion", "bash").stdout
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LABPLANE_")},
        "LABPLANE_URL": server.url,
        "_LABPLANE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("labplane"))], env=environment, capture_output=True, text=True, check=False
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == completed
