"""P-3, P-5, P-9, P-10: where a project may be, and who says so."""

import uuid
from pathlib import Path

import pytest

from expect import nothing, refusal, shown
from projects import MARKER, create, listed
from support import Server


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
