"""The backup of docs/operations.md: made while the server works, and restored in place of everything."""

import re
import shutil
import subprocess
import threading
from pathlib import Path

from expect import nothing, shown
from lives import Lives
from machines import linked, show

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def commands(number: int, projects: Path, backup: Path) -> str:
    """One of the scripts of that section, for these directories and this user."""
    section = OPERATIONS.partition("## Backup and restore\n")[2].partition("\n## ")[0]
    script = re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)[number]
    script = script.replace("/var/lib/labplane/projects", str(projects)).replace("/srv/backup", str(backup))
    return re.sub(r"^chown .*\n", "", script, flags=re.MULTILINE)


def run(script: str) -> None:
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_backup_that_is_made_while_the_server_works_brings_everything_back(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.mkdir()
    with Lives.beginning(tmp_path / "projects") as lives:
        http = lives.server.http
        project = lives.server.project(name="saved")
        vm = linked(lives.server, project, startup_script="set pcname saved\n")
        nothing(http.post(f"{vm}/start"))
        nothing(http.post(f"{project}/files/notes.txt", content=b"mind the gap"), 200)
        before = show(lives.server, vm)
        nio = shown(http.get(f"{vm}/adapters/0/ports/0/nio"))
        over, busy = threading.Event(), lives.server.project(name="busy")

        def work() -> None:
            while not over.is_set():
                http.post(f"{busy}/vpcs/vms", json={"name": "more"})

        worker = threading.Thread(target=work)
        worker.start()
        try:
            run(commands(0, lives.projects, backup))
        finally:
            over.set()
            worker.join()
        lives.end()
        shutil.rmtree(lives.projects)
        run(commands(1, lives.projects, backup))
        lives.begin()
        http = lives.server.http
        after = show(lives.server, vm)
        assert after == {**before, "status": "stopped", "command_line": after["command_line"]}
        assert shown(http.get(f"{vm}/adapters/0/ports/0/nio")) == nio
        assert http.get(f"{project}/files/notes.txt").content == b"mind the gap"
        assert {vm["name"] for vm in shown(http.get(f"{busy}/vpcs/vms"))} <= {"more"}
        nothing(http.post(f"{vm}/start"))
