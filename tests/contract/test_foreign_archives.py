"""F-11, F-12: archives that other programs made come in as what they are, or are refused with what they hold."""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from archives import archive, bring, contents, described, everything, export, path_of
from expect import refusal, shown
from machines import vms
from support import Server

CAMPUS: dict[str, Any] = {
    "name": "Campus",
    "version": "2.2.40",
    "revision": 9,
    "project_id": "d0a6c4f3-5e2b-4f0e-9e0c-6a1f1c3a5b7d",
    "topology": {"computes": [], "nodes": [{"node_id": "x", "x": 1.50}], "links": [], "drawings": []},
    "scene_height": 1000,
}


def test_an_archive_of_gns3_2_goes_out_as_it_came(other: Server, other_project: str) -> None:
    """F-12: but for the project's own id; a project without a name takes that of the topology."""
    text = json.dumps(CAMPUS, indent=4)
    project = bring(other, other_project, archive({"project.gns3": text, "project-files/a": "b"}, None))
    assert project["name"] == shown(other.http.get(other_project))["name"] == "Campus"
    assert (path_of(other, other_project) / "Campus.gns3").exists()
    files = contents(export(other, other_project))
    assert files["project.gns3"].decode() == text.replace(CAMPUS["project_id"], project["project_id"])
    assert files["project-files/a"] == b"b"


@pytest.mark.parametrize(
    ("files", "description", "name"),
    [
        ({"project.gns3": '{"name": "Theirs", "topology": {}}'}, described() | {"name": "Ours"}, "Ours"),
        ({"project.gns3": '{"name": "Theirs", "topology": {}}'}, described(), "Theirs"),
        ({"Campus.gns3": "no topology"}, None, "Campus"),
        ({"project.gns3": '{"name": "a\\nb", "topology": {}}'}, None, None),
        ({"project.gns3": '{"topology": {}}'}, None, None),
    ],
    ids=["description", "topology", "file", "not a name", "none"],
)
def test_a_project_without_a_name_takes_that_of_the_archive(
    other: Server, other_project: str, files: dict[str, bytes | str], description: Any, name: str | None
) -> None:
    """F-12: from the description, else from the topology, else from the topology's file; P-15 holds for all of them."""
    if description is not None:
        files = {**files, "labplane.json": json.dumps(description)}
    assert bring(other, other_project, archive(files, None))["name"] == name


def test_a_topology_that_cannot_be_read_stays_and_is_told(other: Server, other_project: str) -> None:
    """F-12: in the log, and to those who listen."""
    with other.http.stream("GET", f"{other_project}/notifications") as stream:
        lines = stream.iter_lines()
        next(lines)  # the ping
        bring(other, other_project, archive({"project.gns3": b"\xff"}, None))
        told = next(event for event in map(json.loads, lines) if event["action"] == "log.warning")
    assert "'project.gns3' stays as it is" in told["event"]["message"]
    assert told["event"]["message"] in other.log
    assert contents(export(other, other_project))["project.gns3"] == b"\xff"


@pytest.mark.parametrize(
    "around",
    [
        "My Lab/{}",
        "a/b/{}",
        "./My Lab/{}",
        "ä/{}",
    ],
)
def test_the_only_folder_of_an_archive_is_stepped_into(other: Server, other_project: str, around: str) -> None:
    """F-12: with whatever archivers put beside it, and the mark of P-6 stays outside at every depth."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as made:
        made.writestr(around.format(""), "")
        made.writestr(around.format("labplane.json"), json.dumps(described({"name": "A"}) | {"name": "Mine"}))
        made.writestr(around.format("notes/a.txt"), "x")
        made.writestr(around.format(".gns3_temporary"), "1")
        for name in ("__MACOSX/._My Lab", "__MACOSX/My Lab/._labplane.json", ".DS_Store", around.format(".DS_Store")):
            made.writestr(name, "noise")
    project = bring(other, other_project, whole.getvalue())
    assert (project["name"], project["temporary"]) == ("Mine", False)
    assert [vm["name"] for vm in vms(other, other_project)] == ["A"]
    files = {name for name, content in everything(path_of(other, other_project)).items() if content is not None}
    assert files == {"notes/a.txt"}


LABLESS: dict[str, tuple[dict[str, bytes | str], str]] = {
    "nothing": ({}, "It has nothing that can be imported."),
    "hidden files": ({".DS_Store": "x", "__MACOSX/a": "x"}, "It has nothing that can be imported."),
    "a file": ({"notes.txt": "x"}, "It has 'notes.txt'."),
    "a folder": ({"notes/": ""}, "It has 'notes/'."),
    "a folder in a folder": ({"a/b/notes.txt": "x", "a/c": "x"}, "It has 'a/b/notes.txt', 'a/c'."),
    "two labs": (
        {"readme": "x", "a/labplane.json": "{}", "b/project.gns3": "{}"},
        "It has 'a/labplane.json', 'b/project.gns3', 'readme'.",
    ),
    "a lab beside a file": ({"lab/labplane.json": "{}", "b": "x"}, "It has 'lab/labplane.json', 'b'."),
    "a lab that is a folder": (
        {"labplane.json/": "", "project.gns3/a": ""},
        "It has 'labplane.json/', 'project.gns3/a'.",
    ),
    "many": ({f"{number}.txt": "x" for number in range(9)}, "'4.txt' and 4 more."),
}


@pytest.mark.parametrize(("files", "has"), LABLESS.values(), ids=LABLESS)
def test_an_archive_without_a_lab_is_refused_with_what_it_has(
    other: Server, other_project: str, files: dict[str, bytes | str], has: str
) -> None:
    """F-11."""
    message = refusal(other.http.post(f"{other_project}/import", content=archive(files, None)), 400)
    assert message.startswith("The archive holds no lab: ")
    assert message.endswith(has)
    assert list(path_of(other, other_project).iterdir()) == []


def renamed(raw: bytes, extra: bytes = b"") -> bytes:
    """A lab with a file whose name is `raw`, without the flag for UTF-8."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as made:
        member = zipfile.ZipInfo("x" * len(raw))
        member.extra = extra
        made.writestr(member, "content")
        made.writestr("labplane.json", json.dumps(described()))
    return whole.getvalue().replace(b"x" * len(raw), raw)


def unicode_path(raw: bytes, name: str, version: int = 1) -> bytes:
    """The extra field of Info-ZIP that says what `raw` is in UTF-8."""
    field = struct.pack("<BI", version, zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x9999, 2) + b"??" + struct.pack("<HH", 0x7075, len(field)) + field


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (renamed("ỹ.txt".encode()), "ỹ.txt"),
        (renamed("Übung.txt".encode()), "Übung.txt"),
        (renamed("日本.txt".encode()), "日本.txt"),
        (renamed(b"\x81bung.txt"), "übung.txt"),
        (renamed(b"\xdcbung.txt", unicode_path(b"\xdcbung.txt", "Übung.txt")), "Übung.txt"),
        (renamed(b"\x81bung.txt", unicode_path(b"another name", "Übung.txt")), "übung.txt"),
        (renamed(b"plain.txt"), "plain.txt"),
    ],
    ids=["UTF-8", "UTF-8 of two bytes", "UTF-8 of three bytes", "code page", "extra field", "stale field", "ASCII"],
)
def test_a_name_without_the_flag_for_utf_8_is_understood(
    other: Server, other_project: str, data: bytes, name: str
) -> None:
    """F-12: as UTF-8 if it is that, else as the extra field has it, else in code page 437, as the format says."""
    bring(other, other_project, data)
    assert everything(path_of(other, other_project)) == {name: b"content"}


def test_a_path_in_an_extra_field_is_not_trusted_more(other: Server, other_project: str) -> None:
    """F-11."""
    data = renamed(b"\xdc.txt", unicode_path(b"\xdc.txt", "../up.txt"))
    assert "'../up.txt'" in refusal(other.http.post(f"{other_project}/import", content=data), 400)
    assert not (Path(path_of(other, other_project)).parent / "up.txt").exists()


@pytest.mark.parametrize("name", ["startup.vpc", "vpcs.log", ".labplane"])
def test_a_directory_where_a_vm_keeps_a_file_is_no_crash(other: Server, other_project: str, name: str) -> None:
    """F-12: the VM is there without that file, and is told why it cannot have a script."""
    vm = described({"vm_id": "00000000-0000-4000-8000-00000000000c"})
    bring(other, other_project, archive({f"project-files/vpcs/00000000-0000-4000-8000-00000000000c/{name}/a": "x"}, vm))
    (made,) = vms(other, other_project)
    assert made["startup_script"] is None
    path = f"{other_project}/vpcs/vms/{made['vm_id']}"
    if name == "startup.vpc":
        message = refusal(other.http.put(path, json={"startup_script": "show ip"}), 409)
        assert "There is a directory startup.vpc" in message
    else:
        assert shown(other.http.put(path, json={"startup_script": "show ip"}))["startup_script"] == "show ip"
    assert "Traceback" not in other.log
