"""Section 5 of docs/api.md over HTTP: projects and their directories."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from expect import nothing, refusal, shown
from support import Server, running

MARKER = ".gns3_temporary"
KEYS = {"project_id", "temporary", "location", "path", "name"}


def create(server: Server, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = shown(server.http.post("/v1/projects", json=body), 201)
    return found


def directory(server: Server, **body: Any) -> Path:
    return Path(create(server, **body)["path"])


def listed(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shown(server.http.get("/v1/projects"))
    return found


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


def test_a_path_is_for_local_clients_only(server: Server, tmp_path: Path) -> None:
    """P-3, B-6: nothing is created, neither there nor in the list."""
    before = len(listed(server))
    for path in (str(tmp_path / "new"), "relative", "../up", "/"):
        refusal(server.http.post("/v1/projects", json={"path": path}), 403)
    assert len(listed(server)) == before
    assert not (tmp_path / "new").exists()


def test_the_default_path_may_be_named_by_anybody(server: Server) -> None:
    """P-3."""
    project_id = str(uuid.uuid4())
    path = str(Path(create(server)["location"]) / project_id)
    assert create(server, project_id=project_id, path=path)["path"] == path
    assert create(server, path=None)["temporary"] is False


def test_a_local_client_chooses_the_path(local: Server, tmp_path: Path) -> None:
    """P-1, P-5."""
    made = create(local, path=str(tmp_path / "a" / "b"))
    assert made["path"] == str(tmp_path / "a" / "b")
    assert made["location"] != str(tmp_path / "a")
    assert (tmp_path / "a" / "b").is_dir()
    vm = local.vm(f"/v1/projects/{made['project_id']}", startup_script="show")
    assert Path(shown(local.http.get(vm))["vm_directory"]).is_relative_to(tmp_path / "a" / "b")


def test_an_open_project_is_returned_unchanged(server: Server) -> None:
    """P-4, O-10."""
    first = create(server, name="first")
    again = create(server, project_id=first["project_id"], name="second", temporary=True)
    assert again == first
    assert not (Path(first["path"]) / MARKER).exists()
    assert sum(project["project_id"] == first["project_id"] for project in listed(server)) == 1


def test_a_closed_project_is_adopted_with_its_files(server: Server) -> None:
    """P-4, P-12: from disk, with what is in the directory."""
    made = create(server)
    project = f"/v1/projects/{made['project_id']}"
    (Path(made["path"]) / "notes.txt").write_text("mine")
    nothing(server.http.post(f"{project}/close"))
    for method, path in (("GET", project), ("POST", f"{project}/close"), ("DELETE", project), ("PUT", project)):
        refusal(server.http.request(method, path), 404)
    assert create(server, project_id=made["project_id"])["path"] == made["path"]
    assert (Path(made["path"]) / "notes.txt").read_text() == "mine"


def test_a_project_comes_back_after_a_restart(tmp_path: Path) -> None:
    """P-4, M-8: labplane keeps no list, the directory is enough."""
    with running(tmp_path / "projects") as first:
        project = first.project()
        vm = first.vm(project, "PC", startup_script="echo %h")
    with running(tmp_path / "projects") as second:
        refusal(second.http.get(project), 404)
        assert second.project(project_id=project.rpartition("/")[2]) == project
        refusal(second.http.get(vm), 404)
        assert second.vm(project, "PC", vm_id=vm.rpartition("/")[2]) == vm
        assert shown(second.http.get(vm))["startup_script"] == "echo PC"


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


def test_only_a_local_client_moves_a_project(server: Server, tmp_path: Path) -> None:
    """P-9: and nothing else of the request happens."""
    made = create(server, name="old")
    project = f"/v1/projects/{made['project_id']}"
    body = {"name": "new", "temporary": True, "path": str(tmp_path / "new")}
    refusal(server.http.put(project, json=body), 403)
    assert shown(server.http.get(project)) == made
    assert not (Path(made["path"]) / MARKER).exists()
    assert not (tmp_path / "new").exists()
    assert shown(server.http.put(project, json={"path": made["path"]})) == made


def test_a_moved_project_points_to_the_new_directory(local: Server, tmp_path: Path) -> None:
    """P-10: nothing is copied, and the old directory of a permanent project stays."""
    made = create(local)
    project, old, new = f"/v1/projects/{made['project_id']}", Path(made["path"]), tmp_path / "new"
    (old / "file").write_text("old")
    assert shown(local.http.put(project, json={"path": str(new)}))["path"] == str(new)
    assert shown(local.http.get(project))["path"] == str(new)
    assert new.is_dir()
    assert not (new / "file").exists()
    assert (old / "file").exists()


def test_the_old_directory_of_a_temporary_project_goes_when_it_is_saved(local: Server, tmp_path: Path) -> None:
    """P-10: what a client does at its first save: copy, then move and make permanent in one request."""
    made = create(local, temporary=True)
    project, old, new = f"/v1/projects/{made['project_id']}", Path(made["path"]), tmp_path / "saved"
    vm = local.vm(project, "PC", startup_script="show")
    new.mkdir()
    script = Path("project-files/vpcs") / vm.rpartition("/")[2] / "startup.vpc"
    (new / script).parent.mkdir(parents=True)
    (new / script).write_text("copied")
    saved = shown(local.http.put(project, json={"path": str(new), "temporary": False, "name": "saved"}))
    assert (saved["path"], saved["temporary"], saved["name"]) == (str(new), False, "saved")
    assert not old.exists()
    assert not (new / MARKER).exists()
    assert shown(local.http.get(vm))["startup_script"] == "copied"
    nothing(local.http.post(f"{project}/close"))
    assert (new / script).read_text() == "copied"


@pytest.mark.parametrize("path", ["relative/path", "file\0name"])
def test_a_path_that_can_be_none_is_refused(local: Server, path: str) -> None:
    """P-5: the path is absolute."""
    refusal(local.http.post("/v1/projects", json={"path": path}), 400)


def test_a_path_where_no_directory_can_be_is_refused(local: Server, tmp_path: Path) -> None:
    """E-3: with nothing left behind."""
    (tmp_path / "file").write_text("x")
    before = len(listed(local))
    refusal(local.http.post("/v1/projects", json={"path": str(tmp_path / "file")}), 409)
    assert len(listed(local)) == before
    made = create(local, name="old")
    body = {"name": "new", "path": str(tmp_path / "file" / "below")}
    refusal(local.http.put(f"/v1/projects/{made['project_id']}", json=body), 409)
    assert shown(local.http.get(f"/v1/projects/{made['project_id']}")) == made


def test_a_path_that_no_file_system_allows_is_refused(local: Server, tmp_path: Path) -> None:
    """E-2: it is the client's doing and no crash."""
    reply = local.http.post("/v1/projects", json={"path": str(tmp_path / ("x" * 300))})
    assert reply.status_code in (400, 409), reply.text
    reply = local.http.post("/v1/projects", json={"path": str(tmp_path / ("x/" * 3000))})
    assert reply.status_code in (400, 409), reply.text
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    reply = local.http.post("/v1/projects", json={"path": str(tmp_path / "loop" / "below")})
    assert reply.status_code in (400, 409), reply.text


def test_a_temporary_project_does_not_swallow_a_directory_with_files(local: Server, tmp_path: Path) -> None:
    """B-28: refused, or only what labplane made is deleted; either way the files survive."""
    mine = tmp_path / "home"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    reply = local.http.post("/v1/projects", json={"path": str(mine), "temporary": True})
    if reply.status_code == 201:
        nothing(local.http.post(f"/v1/projects/{reply.json()['project_id']}/close"))
    else:
        refusal(reply, 409)
    made = create(local, path=str(mine))
    project = f"/v1/projects/{made['project_id']}"
    reply = local.http.put(project, json={"temporary": True})
    if reply.status_code != 200:
        refusal(reply, 409)
    nothing(local.http.post(f"{project}/close"))
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_commit_removes_the_directories_of_deleted_vms_alone(server: Server) -> None:
    """P-11, M-12."""
    project = server.project()
    kept, deleted = server.vm(project, startup_script="a"), server.vm(project, startup_script="b")
    directories = [Path(shown(server.http.get(vm))["vm_directory"]) for vm in (kept, deleted)]
    stranger = directories[0].parent / "not-a-vm"
    stranger.mkdir()
    nothing(server.http.post(f"{project}/commit"))
    nothing(server.http.delete(deleted))
    assert directories[1].is_dir()
    nothing(server.http.post(f"{project}/commit"))
    assert not directories[1].exists()
    assert (directories[0] / "startup.vpc").read_text() == "a"
    assert stranger.is_dir()
    nothing(server.http.post(f"{project}/commit"))


def test_a_vm_created_anew_after_its_delete_keeps_its_directory_at_commit(server: Server) -> None:
    """P-11, M-8: it is not deleted any more."""
    project = server.project()
    vm = server.vm(project, startup_script="mine")
    nothing(server.http.delete(vm))
    server.vm(project, vm_id=vm.rpartition("/")[2])
    nothing(server.http.post(f"{project}/commit"))
    assert shown(server.http.get(vm))["startup_script"] == "mine"


def test_close_keeps_the_files_and_gives_back_the_ports(server: Server) -> None:
    """P-12, U-5."""
    project = server.project()
    vm = server.vm(project, startup_script="kept")
    found = shown(server.http.get(vm))
    udp = shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"]
    nothing(server.http.post(f"{project}/close"))
    refusal(server.http.get(vm), 404)
    assert (Path(found["vm_directory"]) / "startup.vpc").read_text() == "kept"
    again = server.project()
    other = server.vm(again, console=found["console"])
    assert shown(server.http.get(other))["console"] == found["console"]
    assert shown(server.http.post(f"{again}/ports/udp"), 201)["udp_port"] == udp
    nothing(server.http.delete(again))


def test_close_removes_a_temporary_project(server: Server) -> None:
    """P-12."""
    path = directory(server, temporary=True)
    nothing(server.http.post(f"/v1/projects/{path.name}/close"))
    assert not path.exists()


def test_delete_removes_the_directory_always(server: Server) -> None:
    """P-13."""
    path = directory(server)
    (path / "file").write_text("x")
    (path / "link").symlink_to("/etc")
    nothing(server.http.delete(f"/v1/projects/{path.name}"))
    assert not path.exists()
    assert Path("/etc/passwd").exists()
    refusal(server.http.get(f"/v1/projects/{path.name}"), 404)


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
    "name", ["../../etc", "/etc/passwd", "a\\b", "..", ".", "%2e%2e", "con:", "名前 😀", "x" * 5000]
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


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x7f", "\x1b[2J"])
def test_control_characters_in_a_name_are_taken_or_refused_without_a_crash(server: Server, name: str) -> None:
    """P-15."""
    reply = server.http.post("/v1/projects", json={"name": name})
    assert reply.status_code in (201, 400), reply.text


def test_temporary_projects_of_an_earlier_run_are_purged_at_the_start(tmp_path: Path) -> None:
    """Section 5, last paragraph: those with the marker, in the projects directory, and no others."""
    projects = tmp_path / "projects"
    for name, marked in (("temporary", True), ("kept", False)):
        directory = projects / str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        (directory / "project-files").mkdir(parents=True)
        if marked:
            (directory / MARKER).write_text("1")
    with running(projects) as server:
        assert server.project(project_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, "kept")))
        assert not (projects / str(uuid.uuid5(uuid.NAMESPACE_DNS, "temporary"))).exists()
        assert (projects / str(uuid.uuid5(uuid.NAMESPACE_DNS, "kept")) / "project-files").is_dir()


def test_a_missing_projects_directory_is_made(tmp_path: Path) -> None:
    """C-5."""
    with running(tmp_path / "projects", "--projects-dir", str(tmp_path / "a" / "b")) as server:
        assert create(server)["location"] == str(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()
