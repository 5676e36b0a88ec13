"""`labplane ps` and `labplane gc`: all that runs for a directory, with its server and without, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from expect import nothing
from labplane.cli import main
from lives import Lives, Process, until_ended
from machines import linked
from support import Server, until


def run(command: str, projects: Path, *options: str) -> Result:
    return CliRunner().invoke(main, [command, "--projects-dir", str(projects), *options])


def rows(command: str, projects: Path) -> list[dict[str, Any]]:
    done = run(command, projects, "--json")
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.output)
    return found


def started(server: Server) -> str:
    """A VM that runs; its id."""
    vm = linked(server, server.project())
    nothing(server.http.post(f"{vm}/start"))
    return vm.rsplit("/", 1)[1]


def test_ps_lists_what_runs_with_the_server_and_without(tmp_path: Path) -> None:
    with Lives.beginning(tmp_path / "projects") as lives:
        assert rows("ps", lives.projects) == []
        vm_id = started(lives.server)
        (process,) = lives.machines()[vm_id]
        for _ in range(2):
            (row,) = rows("ps", lives.projects)
            assert (row["pid"], row["vm_id"], row["kind"]) == (process.pid, vm_id, "vpcs")
            assert row["command_line"].split()[0].endswith("vpcs")
            assert 0 <= row["seconds"] < 300
            head, line = run("ps", lives.projects).output.splitlines()
            assert head.split() == ["PID", "SINCE", "KIND", "VM", "PROJECT", "COMMAND"]
            assert line.split()[:4:3] == [str(process.pid), vm_id]
            lives.kill()
        run("gc", lives.projects)


def test_gc_ends_what_a_killed_server_has_left_and_its_keeper_and_nothing_else(tmp_path: Path) -> None:
    with Lives.beginning(tmp_path / "one") as one, Lives.beginning(tmp_path / "two") as two:
        vms = [started(lives.server) for lives in (one, two)]
        (process,), (other,) = (lives.machines()[vm] for lives, vm in zip((one, two), vms, strict=True))
        keeper = one.keeper()
        one.kill()
        assert process.runs
        (row,) = rows("gc", one.projects)
        assert (row["pid"], row["vm_id"]) == (process.pid, vms[0])
        until_ended(process)
        until_ended(keeper)
        assert other.runs
        assert "Nothing runs for" in run("ps", one.projects).output
        assert rows("gc", one.projects) == []


def test_a_server_whose_machines_are_ended_shows_them_stopped_and_starts_them_again(tmp_path: Path) -> None:
    with Lives.beginning(tmp_path / "projects") as lives:
        http = lives.server.http
        vm = linked(lives.server, lives.server.project())
        for _ in range(2):
            nothing(http.post(f"{vm}/start"))
            assert len(rows("gc", lives.projects)) == 1
            until(lambda: http.get(vm).json()["status"] == "stopped", "the VM to be shown as stopped")


def test_a_directory_that_is_none_is_no_error_and_one_of_somebody_else_says_so(tmp_path: Path) -> None:
    assert rows("ps", tmp_path / "nowhere") == []
    data = tmp_path / "open" / ".labplane"
    data.mkdir(parents=True)
    data.chmod(0o755)
    done = run("ps", tmp_path / "open")
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: The keeper of {data} cannot be asked: ")
    assert "0700" in done.output


def test_the_commands_work_as_programs(tmp_path: Path) -> None:
    for command in ("ps", "gc"):
        words = [sys.executable, "-m", "labplane", command, "--projects-dir", str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"Nothing runs for {os.path.realpath(tmp_path)}.\n")


def test_a_process_is_no_other_of_its_number() -> None:
    own = Process.of(os.getpid())
    assert own is not None
    assert own.runs
    assert not own._replace(begun=own.begun + 1).runs
