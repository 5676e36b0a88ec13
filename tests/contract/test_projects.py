"""Section 5 of docs/api.md over HTTP: projects are made, shown and changed."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from projects import MARKER, create, listed
from support import Server, running

KEYS = {"project_id", "temporary", "location", "path", "name"}


def test_an_empty_request_makes_a_permanent_project_without_a_name(server: Server) -> None:
    """P-1, P-2, P-5, O-2, B-9: the object, the fresh id and the directory."""
    one, two = create(server), create(server)
    assert set(one) == KEYS
    assert one["temporary"] is False
    assert one["name"] is None
    assert str(uuid.UUID(one["project_id"])) == one["project_id"]
    assert uuid.UUID(one["project_id"]).version == 4
    assert one["project_id"] != two["project_id"]
    path = Path(one["path"])
    assert path.is_absolute()
    assert path.is_dir()
    assert path == Path(one["location"]) / one["project_id"]
    assert not (path / MARKER).exists()


def test_nulls_are_accepted_where_they_are_listed(server: Server) -> None:
    """P-2: clients always send a null project_id."""
    body = {"project_id": None, "name": None, "path": None, "temporary": True}
    assert create(server, **body)["temporary"] is True
    assert create(server, project_id=None)["name"] is None


def test_a_name_is_accepted(server: Server) -> None:
    """O-3."""
    assert create(server, name="My lab")["name"] == "My lab"


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "a" * 256},
        {"name": 1},
        {"path": ""},
        {"path": 1},
        {"project_id": ""},
        {"project_id": 1},
        {"project_id": "42f9feee-3217-4104-981e-85d5f0a806e"},
        {"project_id": "{42f9feee-3217-4104-981e-85d5f0a806ec}"},
        {"temporary": None},
        {"temporary": 1},
        {"temporary": "true"},
        {"location": "/tmp"},
        {"unknown": None},
        {"Name": "x"},
    ],
)
def test_a_create_request_must_fit_its_schema(server: Server, body: dict[str, Any]) -> None:
    """P-1: and nothing is created."""
    before = len(listed(server))
    refusal(server.http.post("/v1/projects", json=body), 400)
    assert len(listed(server)) == before


@pytest.mark.parametrize("body", [{"name": ""}, {"name": 1}, {"path": ""}, {"temporary": None}, {"project_id": None}])
def test_an_update_request_must_fit_its_schema(server: Server, body: dict[str, Any]) -> None:
    """P-9."""
    project = server.project()
    before = shown(server.http.get(project))
    refusal(server.http.put(project, json=body), 400)
    assert shown(server.http.get(project)) == before


def test_an_open_project_is_returned_unchanged(server: Server) -> None:
    """P-4, O-10."""
    first = create(server, name="first")
    again = create(server, project_id=first["project_id"], name="second", temporary=True)
    assert again == first
    assert not (Path(first["path"]) / MARKER).exists()
    assert sum(project["project_id"] == first["project_id"] for project in listed(server)) == 1


def test_a_closed_project_is_adopted_with_its_files(server: Server) -> None:
    """P-4, P-12, P-16: from disk, with what is in the directory."""
    made = create(server)
    project = f"/v1/projects/{made['project_id']}"
    (Path(made["path"]) / "notes.txt").write_text("mine")
    nothing(server.http.post(f"{project}/close"))
    for method, path in (("GET", project), ("POST", f"{project}/close"), ("DELETE", project), ("PUT", project)):
        refusal(server.http.request(method, path), 404)
    assert made in shown(server.http.get("/v1/closed-projects"))
    assert create(server, project_id=made["project_id"])["path"] == made["path"]
    assert made not in shown(server.http.get("/v1/closed-projects"))
    assert (Path(made["path"]) / "notes.txt").read_text() == "mine"


def test_the_marker_comes_and_goes_with_the_temporary_flag(server: Server) -> None:
    """P-6, P-9."""
    made = create(server, temporary=True)
    project, marker = f"/v1/projects/{made['project_id']}", Path(made["path"]) / MARKER
    assert made["temporary"] is True
    assert marker.read_text().strip() == "1"
    assert shown(server.http.put(project, json={"temporary": False}))["temporary"] is False
    assert not marker.exists()
    assert shown(server.http.put(project, json={"temporary": True}))["temporary"] is True
    assert marker.read_text().strip() == "1"
    assert shown(server.http.put(project, json={"name": "still"}))["temporary"] is True
    assert marker.exists()


def test_a_project_is_shown_as_it_was_made(server: Server) -> None:
    """P-7, P-8, O-13."""
    made = create(server, name="shown")
    assert shown(server.http.get(f"/v1/projects/{made['project_id']}")) == made
    assert made in listed(server)


def test_an_unknown_project_is_not_found(server: Server) -> None:
    """P-7, E-2: by any route below it."""
    project = f"/v1/projects/{uuid.uuid4()}"
    for method, path in (
        ("GET", project),
        ("PUT", project),
        ("DELETE", project),
        ("POST", f"{project}/commit"),
        ("POST", f"{project}/close"),
        ("POST", f"{project}/ports/udp"),
        ("GET", f"{project}/vpcs/vms"),
    ):
        refusal(server.http.request(method, path), 404)
    refusal(server.http.post(f"{project}/vpcs/vms", json={"name": "x"}), 404)


def test_nulls_in_an_update_change_nothing(server: Server) -> None:
    """P-9, B-9."""
    made = create(server, name="kept")
    project = f"/v1/projects/{made['project_id']}"
    assert shown(server.http.put(project, json={"name": None, "path": None})) == made
    assert shown(server.http.put(project, json={})) == made
    assert shown(server.http.get(project)) == made
    assert shown(server.http.put(project, json={"name": "new"})) == {**made, "name": "new"}


def test_projects_share_nothing_but_the_ports(server: Server) -> None:
    """P-14: VMs of the same name, and one is closed without the other noticing."""
    one, two = server.project(), server.project()
    vms = [server.vm(project, "PC", startup_script=project) for project in (one, two)]
    consoles = [shown(server.http.get(vm))["console"] for vm in vms]
    assert len(set(consoles)) == 2
    assert [len(shown(server.http.get(f"{project}/vpcs/vms"))) for project in (one, two)] == [1, 1]
    nothing(server.http.delete(one))
    assert shown(server.http.get(vms[1]))["startup_script"] == two


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc/passwd", "a\\b", "..", ".", "%2e%2e", "con:", "名前 😀", "x" * 254]
)
def test_a_name_is_a_label_and_never_a_path(server: Server, name: str) -> None:
    """P-15, B-6."""
    made = create(server, name=name)
    assert made["name"] == name
    assert Path(made["path"]) == Path(made["location"]) / made["project_id"]
    project = f"/v1/projects/{made['project_id']}"
    vm = server.vm(project, name)
    assert shown(server.http.get(vm))["name"] == name
    assert Path(shown(server.http.get(vm))["vm_directory"]).is_relative_to(made["path"])
    assert shown(server.http.put(project, json={"name": name + "!"}))["name"] == name + "!"
    nothing(server.http.delete(project))


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "a\n", "\x7f", "\x1b[2J", "\x85", "a\u2028b"])
def test_control_characters_in_a_name_are_refused_as_its_schema_says(server: Server, name: str) -> None:
    """P-1, P-9, P-15."""
    project = server.project(name="Tab")
    for reply in (server.http.post("/v1/projects", json={"name": name}), server.http.put(project, json={"name": name})):
        assert reply.status_code == 400
        assert "'name' must match a text without control characters" in reply.json()["message"]
    assert shown(server.http.get(project))["name"] == "Tab"


def test_a_missing_projects_directory_is_made(tmp_path: Path) -> None:
    """C-5."""
    with running(tmp_path / "projects", "--projects-dir", str(tmp_path / "a" / "b")) as server:
        assert create(server)["location"] == str(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()
