"""P-11 to P-13: what commit, close and delete take away, and what a start of the server clears."""

import uuid
from pathlib import Path

from expect import nothing, refusal, shown
from projects import MARKER, directory
from support import Server, running


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
