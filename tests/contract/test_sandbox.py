"""B-15: what a VPCS cannot do to the host, from its console or its startup script; and as whom it runs."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from expect import nothing, refusal
from machines import directory, linked, show, start
from support import Server, Viewer, running

PROMPT = b"> "  # its name comes before it


@pytest.fixture
def secret(close_by: Path) -> Path:
    """A file of the server's user that is none of VPCS's business."""
    path = close_by / "secret"
    path.write_text("xyzzy plugh\n")
    return path


def typed(server: Server, vm: str, *lines: str) -> bytes:
    """What the console of the running VM shows of these lines."""
    with Viewer(show(server, vm)["console"]) as viewer:
        viewer.until(PROMPT)
        seen = b""
        for line in lines:
            viewer.type(line)
            seen += viewer.until(PROMPT)
    return seen


def test_an_exclamation_mark_runs_nothing(server: Server, project: str, secret: Path) -> None:
    """Q-10."""
    marker = secret.with_name("touched")
    script = f"! touch {marker}\n! id\nset pcname A\n"
    vm = linked(server, project, startup_script=script)
    start(server, vm)
    seen = typed(server, vm, f"! touch {marker}", "!id", "! cat " + str(secret), "show")
    assert not marker.exists()
    assert b"uid=" not in seen
    assert b"plugh" not in seen
    assert not [path for path in directory(server, vm).rglob("*") if "touched" in path.name]


def test_it_saves_in_its_own_directory_and_nowhere_else(server: Server, project: str) -> None:
    vm = linked(server, project)
    start(server, vm)
    own = directory(server, vm)
    outside = {path for path in own.parent.parent.rglob("*") if own not in path.parents}
    typed(
        server, vm, "set pcname AB", "save ../stolen", "save ../../../stolen", "save /tmp/labplane-stolen", "save mine"
    )
    assert {path for path in own.parent.parent.rglob("*") if own not in path.parents} == outside
    assert not Path("/tmp/labplane-stolen.vpc").exists()
    assert "set pcname AB" in (own / "mine.vpc").read_text()


def test_it_loads_nothing_that_is_not_its_own(server: Server, project: str, secret: Path) -> None:
    vm = linked(server, project)
    start(server, vm)
    own = directory(server, vm)
    (own / "mine.vpc").write_text("set pcname OWN\n")
    (own / "link.vpc").symlink_to(secret)
    token = Path("/etc/shadow")
    seen = typed(server, vm, f"load {secret}", "load link.vpc", f"load {token}", "load mine.vpc", "show")
    assert b"plugh" not in seen
    assert b"root:" not in seen
    assert b"OWN" in seen


def test_the_server_follows_no_link_out_of_its_directory(server: Server, project: str, secret: Path) -> None:
    """Not when it begins the log, not when it shows, renames or writes the script."""
    vm = linked(server, project)
    own = directory(server, vm)
    (own / "vpcs.log").symlink_to(secret)
    (own / "startup.vpc").symlink_to(secret)
    (own / ".labplane-startup.vpc").symlink_to(secret)
    assert show(server, vm)["startup_script"] is None
    start(server, vm)
    nothing(server.http.post(f"{vm}/stop"))
    assert not (own / "vpcs.log").is_symlink()
    assert server.http.put(vm, json={"name": "other", "startup_script": "echo mine"}).status_code == 200
    assert secret.read_text() == "xyzzy plugh\n"
    assert show(server, vm)["startup_script"] == "echo mine"


def test_it_has_its_own_session_and_nothing_of_the_servers(server: Server, project: str) -> None:
    vm = linked(server, project)
    pid = start(server, vm)
    assert os.getsid(pid) == pid
    assert {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if int(path.name) < 3} == {
        os.readlink(f"/proc/{pid}/fd/0")
    }
    inherited = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if int(path.name) > 2]
    assert all(target.startswith("socket:") for target in inherited), "the sockets that it opened itself"
    environment = dict(line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0") if line)
    assert environment.keys() <= {"PATH", "HOME", "LANG", "TERM", "LABPLANE_RUN"}
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max core file size        0" in limits
    assert "Max open files            4096" in limits
    assert Path(f"/proc/{pid}/cwd").readlink() == directory(server, vm)


def test_with_the_sandbox_off_the_old_precautions_hold(tmp_path: Path) -> None:
    """B-15: `!` is taken out of what is typed, and a script that has one is refused."""
    (tmp_path / "labplane.toml").write_text('sandbox = "off"\n')
    with running(tmp_path / "projects", "--config", str(tmp_path / "labplane.toml")) as server:
        project = server.project()
        vm = linked(server, project)
        start(server, vm)
        assert b"uid=" not in typed(server, vm, "! id")
        risky = linked(server, project, startup_script="! id")
        assert "is not confined" in refusal(server.http.post(f"{risky}/start"), 409)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may enter."""
    path = Path(tempfile.mkdtemp(prefix="labplane-public-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run emulators as somebody else")
def test_a_server_of_root_runs_it_as_the_user_that_was_named(public: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    (public / "labplane.toml").write_text('user = "nobody"\n')
    with running(public / "projects", "--config", str(public / "labplane.toml")) as server:
        vm = linked(server, server.project(), startup_script="set pcname A")
        for _ in range(2):
            pid = start(server, vm)
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
            assert f"Gid:\t{nobody.pw_gid}\t{nobody.pw_gid}\t{nobody.pw_gid}" in status
            assert "CapEff:\t0000000000000000" in status
            typed(server, vm, "set pcname AB", "save")
            own = directory(server, vm)
            assert "set pcname AB" in (own / "startup.vpc").read_text()
            nothing(server.http.post(f"{vm}/stop"))
        assert own.stat().st_uid == nobody.pw_uid
        assert own.parent.stat().st_uid == 0


def test_a_user_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "labplane.toml").write_text('user = "no-such-user"\n')
    with (
        pytest.raises(AssertionError, match="'user': there is no user 'no-such-user' on this system"),
        running(tmp_path / "projects", "--config", str(tmp_path / "labplane.toml")),
    ):
        pass
