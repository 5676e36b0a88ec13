"""Operations that wait look again afterwards: creation, commit, move and close at one moment (L-7, M-6)."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labplane import Conflict, remove_tree
from labplane.machines import deleted_dirs, restoring
from labplane_projects import plugin as projects_plugin
from labplane_projects.project import Project
from slow import Lane, vm_id


class Removal:
    """The removal of a directory, which goes on when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, directory: Path) -> None:
        self.begun.release()
        assert self.go_on.wait(20)
        remove_tree(directory)

    def until_begun(self) -> None:
        assert self.begun.acquire(timeout=20)


@pytest.fixture
def removal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Removal]:
    removal = Removal()
    monkeypatch.setattr(deleted_dirs, "remove_tree", removal)
    yield removal
    removal.go_on.set()


def deleted(lane: Lane, project: str) -> dict[str, str]:
    """The body that creates a VM anew which was deleted and waits for its project to be committed."""
    vm = lane.served.vm(project, "slow")
    assert lane.served.http.delete(vm).status_code == 204
    return {"name": "again", "vm_id": vm_id(vm)}


def test_two_creations_of_an_id_whose_directory_is_being_removed_make_one_vm(lane: Lane, removal: Removal) -> None:
    body = deleted(lane, lane.project)
    commit = lane.send("POST", f"{lane.project}/commit")
    removal.until_begun()
    creations = [lane.send("POST", f"{lane.project}/slow/vms", json=body) for _ in range(2)]
    lane.served.http.get("/v1/version")  # both have come as far as the removal by now, or come later, which is as good
    removal.go_on.set()
    assert commit.result(20).status_code == 204
    first, second = (creation.result(20) for creation in creations)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert len(lane.served.lab.vms) == 1
    assert lane.served.http.post(f"{lane.project}/close").status_code == 204


def test_two_projects_that_both_had_an_id_are_committed_side_by_side(lane: Lane, removal: Removal) -> None:
    other = lane.served.project()
    body = deleted(lane, lane.project)
    assert lane.served.http.post(f"{other}/slow/vms", json=body).status_code == 201
    assert lane.served.http.delete(f"{other}/slow/vms/{body['vm_id']}").status_code == 204
    commits = [lane.send("POST", f"{project}/commit") for project in (lane.project, other)]
    for _ in commits:
        removal.until_begun()
    removal.go_on.set()
    assert [commit.result(20).status_code for commit in commits] == [204, 204]
    assert lane.served.http.post(f"{other}/slow/vms", json=body).status_code == 201


def test_a_commit_leaves_alone_a_vm_that_is_being_made_again(lane: Lane) -> None:
    body = deleted(lane, lane.project)
    lane.driver.begun.clear()
    let_go = lane.hold("configure")
    creation = lane.send("POST", f"{lane.project}/slow/vms", json=body)
    lane.until_begun(f"/{body['vm_id']}", "configure")
    commit = lane.send("POST", f"{lane.project}/commit")
    let_go()
    made = creation.result(20)
    assert made.status_code == 201
    assert commit.result(20).status_code == 204
    assert Path(made.json()["vm_directory"]).is_dir()


def test_the_directory_of_a_vm_that_could_not_be_made_again_still_goes_with_the_next_commit(lane: Lane) -> None:
    body = deleted(lane, lane.project)
    directory = lane.served.lab.project_dir(vm_id(lane.project)) / "project-files" / "slow" / body["vm_id"]
    refused = lane.served.http.post(f"{lane.project}/slow/vms", json={**body, "tag": -1})
    assert refused.status_code == 409
    assert directory.is_dir()
    assert lane.served.http.post(f"{lane.project}/commit").status_code == 204
    assert not directory.exists()


def test_a_commit_waits_for_a_vm_that_is_still_being_deleted(lane: Lane) -> None:
    vm = lane.vm()
    directory = Path(lane.served.http.get(vm).json()["vm_directory"])
    let_go = lane.hold("removed")
    deletion = lane.send("DELETE", vm)
    lane.until_begun(vm, "removed")
    commit = lane.send("POST", f"{lane.project}/commit")
    lane.until_waiting(vm, 1)
    assert directory.is_dir()
    let_go()
    assert deletion.result(20).status_code == 204
    assert commit.result(20).status_code == 204
    assert not directory.exists()


def test_a_project_is_opened_while_another_one_tries_to_make_a_vm_with_an_id_of_it(lane: Lane) -> None:
    vm = lane.vm(tag=7)
    assert lane.served.http.post(f"{lane.project}/close").status_code == 204
    lane.driver.begun.clear()
    let_go = lane.hold("show")
    creation = lane.send("POST", f"{lane.served.project()}/slow/vms", json={"name": "thief", "vm_id": vm_id(vm)})
    lane.until_begun(vm, "show")
    opening = lane.send("POST", "/v1/projects", json={"project_id": vm_id(lane.project)})
    lane.until_waiting(vm, 1)
    let_go()
    assert creation.result(20).status_code == 409
    assert opening.result(20).status_code == 201
    assert lane.served.http.get(vm).json()["tag"] == 7


def test_a_project_whose_opening_fails_half_way_leaves_nothing_and_can_be_opened(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, vm = lane.served.lab, lane.vm(tag=7)
    nio = {"type": "nio_udp", "lport": lab.udp.first, "rhost": "127.0.0.1", "rport": 9}
    assert lane.served.http.post(f"{vm}/adapters/0/ports/0/nio", json=nio).status_code == 201
    assert lane.served.http.post(f"{lane.project}/close").status_code == 204
    write = lab.state.write

    async def failing(statements: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if statements[0][0] is restoring._DELETED:
            raise Conflict("The disk is full.")
        return await write(statements)

    body = {"project_id": vm_id(lane.project)}
    with monkeypatch.context() as patch:
        patch.setattr(lab.state, "write", failing)
        assert lane.served.http.post("/v1/projects", json=body).status_code == 409
    assert len(lab.vms) == 0
    assert lab.udp.first not in lab.udp
    assert lane.served.http.post("/v1/projects", json=body).status_code == 201
    (again,) = lab.vms
    assert again.nios == {(0, 0): nio}
    assert lane.served.http.get(vm).json()["tag"] == 7


@contextmanager
def local(lane: Lane) -> Iterator[None]:
    """Meanwhile the server is in local mode, in which clients choose the paths of projects."""
    object.__setattr__(lane.served.lab.settings, "local", True)
    try:
        yield
    finally:
        object.__setattr__(lane.served.lab.settings, "local", False)


def test_a_project_is_not_moved_while_a_vm_of_it_starts(lane: Lane, tmp_path: Path) -> None:
    vm = lane.vm()
    let_go = lane.hold("start")
    start = lane.send("POST", f"{vm}/start")
    lane.until_begun(vm, "start")
    with local(lane):
        move = lane.send("PUT", lane.project, json={"path": str(tmp_path / "elsewhere")})
        lane.until_waiting(vm, 1)
        let_go()
        assert start.result(20).status_code == 204
        reply = move.result(20)
    assert reply.status_code == 409
    assert "before the project is moved" in reply.json()["message"]
    assert not (tmp_path / "elsewhere").exists()


def test_a_vm_that_is_created_while_its_project_moves_is_made_where_the_project_is_then(
    lane: Lane, tmp_path: Path
) -> None:
    vm, elsewhere = lane.vm(), tmp_path / "elsewhere"
    lane.driver.begun.clear()
    let_go = lane.hold("show")
    showing = lane.send("GET", vm)
    lane.until_begun(vm, "show")
    with local(lane):
        move = lane.send("PUT", lane.project, json={"path": str(elsewhere)})
        lane.until_waiting(vm, 1)
        creation = lane.send("POST", f"{lane.project}/slow/vms", json={"name": "late"})
        let_go()
        assert showing.result(20).status_code == 200
        assert move.result(20).status_code == 200
        assert Path(creation.result(20).json()["vm_directory"]).is_relative_to(elsewhere)


def test_two_projects_that_move_to_one_place_do_not_both_get_it(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = lane.served.project()
    begun, go_on = threading.Event(), threading.Event()
    settle = Project.settle

    def slowly(self: Project, path: Path, temporary: bool) -> object:
        begun.set()
        assert go_on.wait(20)
        return settle(self, path, temporary)

    monkeypatch.setattr(Project, "settle", slowly)
    with local(lane):
        first = lane.send("PUT", lane.project, json={"path": str(tmp_path / "one")})
        assert begun.wait(20)
        second = lane.served.http.put(other, json={"path": str(tmp_path / "one" / "below")})
        go_on.set()
        assert first.result(20).status_code == 200
    assert second.status_code == 409


def test_a_project_whose_directory_cannot_be_removed_stays_open_and_says_so(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-13: the client can mend the cause and delete it again."""

    def refuse(directory: Path) -> None:
        raise PermissionError(13, "Permission denied", str(directory / "kept"))

    lane.vm()
    with monkeypatch.context() as patch:
        patch.setattr(projects_plugin, "remove_tree", refuse)
        reply = lane.served.http.delete(lane.project)
    assert reply.status_code == 409
    assert "kept" in reply.json()["message"]
    assert lane.served.http.get(lane.project).status_code == 200
    assert lane.served.http.get(f"{lane.project}/slow/vms").json() == []
    assert lane.served.http.delete(lane.project).status_code == 204
    assert lane.served.http.get(lane.project).status_code == 404


def test_a_commit_that_cannot_remove_a_directory_says_so_and_the_next_one_tries_again(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path) -> None:
        raise PermissionError(13, "Permission denied", str(directory))

    bodies = [deleted(lane, lane.project) for _ in range(2)]
    folder = lane.served.lab.project_dir(vm_id(lane.project)) / "project-files" / "slow"
    with monkeypatch.context() as patch:
        patch.setattr(deleted_dirs, "remove_tree", refuse)
        reply = lane.served.http.post(f"{lane.project}/commit")
    assert reply.status_code == 409
    assert "no right" in reply.json()["message"]
    assert {path.name for path in folder.iterdir()} == {body["vm_id"] for body in bodies}
    assert lane.served.http.post(f"{lane.project}/commit").status_code == 204
    assert list(folder.iterdir()) == []
