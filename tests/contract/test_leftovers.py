"""C-3, P-5: one server works in a projects directory, and what it leaves unfinished goes at the next start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from expect import nothing, shown
from projects import create
from support import running, until
from wire import Wire


def refused(projects: Path) -> str:
    """What a further server on that directory says; it ends by itself, and not with success."""
    command = [sys.executable, "-m", "labplane", "serve", "--port", "0", "--projects-dir", str(projects)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    return done.stderr


def test_a_second_server_on_one_directory_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    """C-3: it touches nothing, neither temporary projects nor drafts."""
    with running(tmp_path / "projects") as server:
        root = Path(create(server, temporary=True)["path"])
        (root / ".labplane-draft").write_text("half")
        said = refused(server.projects)
        assert f"Another labplane, process {server.process.pid}, works in the projects directory {root.parent}" in said
        assert (root / ".labplane-draft").exists()
        assert (server.projects / ".labplane.lock").read_text() == f"{server.process.pid}\n"
        assert f"process {server.process.pid}" in refused(server.projects), "the refusal left the lock as it was"
        shown(server.http.get(f"/v1/projects/{root.name}"))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_next_server_gets_the_directory(tmp_path: Path, end: signal.Signals) -> None:
    """C-3: however the first one ended, and with the number of the next one in the file."""
    with running(tmp_path / "projects") as first:
        first.stop(end)
    with running(tmp_path / "projects") as second:
        assert (second.projects / ".labplane.lock").read_text() == f"{second.process.pid}\n"


def test_drafts_of_a_server_that_was_killed_are_swept(tmp_path: Path) -> None:
    """F-3, F-9: real ones, of an upload and of an import that were under way, at any depth."""
    with running(tmp_path / "projects") as server:
        root = Path(create(server)["path"])
        project = f"/v1/projects/{root.name}"
        vm = Path(shown(server.http.get(server.vm(project)))["vm_directory"])
        with Wire(server.port) as one, Wire(server.port) as two:
            one.head("POST", f"{project}/files/new", "Content-Length: 100")
            two.head("POST", f"{project}/files/{vm.relative_to(root)}/image", "Content-Length: 100")
            until(lambda: drafts(root) == 2, "the drafts")
            server.stop(signal.SIGKILL)
        (root / ".labplane-import").mkdir()
        (root / ".labplane-import" / ".labplane-x").write_text("x")
        (root / ".labplane-link").symlink_to(vm)
    assert drafts(root) == 5
    with running(tmp_path / "projects") as server:
        assert drafts(root) == 0
        assert vm.is_dir(), "a VM's directory goes only if somebody asks for it"
        assert server.log.count("left unfinished") == 4


def test_drafts_in_a_project_elsewhere_are_swept_when_it_is_opened(tmp_path: Path) -> None:
    """P-3."""
    place = tmp_path / "elsewhere"
    (place / "a").mkdir(parents=True)
    (place / "a" / ".labplane-draft").write_text("half")
    with running(tmp_path / "projects", "--local") as server:
        create(server, path=str(place))
        assert drafts(place) == 0
        assert (place / "a").is_dir()


def test_the_directory_of_a_deleted_vm_stays_until_somebody_asks(tmp_path: Path) -> None:
    """M-12: over a close and a start of the server, for clients come back with the ids that they saved."""
    with running(tmp_path / "projects") as server:
        root = Path(create(server)["path"])
        vm = server.vm(f"/v1/projects/{root.name}", startup_script="show ip")
        kept = Path(shown(server.http.get(vm))["vm_directory"])
        nothing(server.http.delete(vm))
        nothing(server.http.post(f"/v1/projects/{root.name}/close"))
    with running(tmp_path / "projects") as server:
        assert (kept / "startup.vpc").read_text() == "show ip"
        create(server, project_id=root.name)
        again = server.vm(f"/v1/projects/{root.name}", vm_id=kept.name)
        assert shown(server.http.get(again))["startup_script"] == "show ip"


def drafts(root: Path) -> int:
    """How many drafts there are below `root`, those in others counted too."""
    return sum(name.startswith(".labplane-") for _, folders, files in os.walk(root) for name in (*folders, *files))
