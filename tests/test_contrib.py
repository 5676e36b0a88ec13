"""What operators copy: the systemd unit, the Dockerfile, and the tables of docs/operations.md."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from labplane.settings import SETTINGS
from linux_guest import run_in_guest
from support import running

TREE = Path(__file__).parent.parent
UNIT = (TREE / "contrib" / "labplane.service").read_text()
KEEPER_UNIT = (TREE / "contrib" / "labplane-keeper.service").read_text()
DOCKERFILE = (TREE / "Dockerfile").read_text()
OPERATIONS = (TREE / "docs" / "operations.md").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "labplane"
    units = [tmp_path / "labplane.service", tmp_path / "labplane-keeper.service"]
    for unit, text in zip(units, (UNIT, KEEPER_UNIT), strict=True):
        assert "ExecStart=/opt/labplane/bin/labplane " in text
        unit.write_text(text.replace("/opt/labplane/bin/labplane", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    about_it = [line for line in done.stderr.splitlines() if "labplane" in line]
    assert (done.returncode, about_it) == (0, []), done.stderr


def test_the_unit_ends_the_server_alone_and_keeps_its_token_from_the_journal() -> None:
    for line in ("KillMode=process", "StandardOutput=null", "OOMPolicy=continue", "PrivateTmp"):
        assert (line in UNIT.splitlines()) == (line != "PrivateTmp"), line


@pytest.mark.parametrize("unit", [UNIT, KEEPER_UNIT], ids=["server", "keeper"])
def test_the_command_of_the_unit_is_one(unit: str) -> None:
    (words,) = re.findall(r"^ExecStart=\S+ (.*)$", unit, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", "labplane", *words.split(), "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_both_units_are_of_one_user_one_place_and_one_file_of_settings() -> None:
    for name in ("User", "Group", "Environment=LABPLANE_PROJECTS_DIR", "EnvironmentFile", "StateDirectory", "UMask"):
        (line,) = re.findall(rf"^{name}=.*$", UNIT, re.MULTILINE)
        assert line in KEEPER_UNIT.splitlines()
    assert "Wants=labplane-keeper.service" in UNIT
    assert re.search(r"^Delegate=memory cpu pids$", KEEPER_UNIT, re.MULTILINE)
    assert "ProtectControlGroups=yes" not in KEEPER_UNIT.splitlines()


@pytest.mark.timeout(450)
@pytest.mark.skipif(shutil.which("vpcs") is None, reason="there is no vpcs here")
def test_under_systemd_vms_have_limits_outlast_a_restart_and_end_with_the_keeper(tmp_path: Path) -> None:
    """A real systemd, the one of this host, in a machine of its own."""
    guest = run_in_guest(tmp_path, "sh tests/guest/service.sh 2>&1", 390, systemd=True)
    assert guest.status == 0, guest.output
    told = dict(line.split(" ", 1) for line in guest.output.splitlines() if re.match(r"\w+ \S", line))
    assert told["owner"] == "labplane 600"
    assert told["limit"] == "67108864"
    assert (told["restarted"], told["same"]) == ("1", "0"), "another server, the same program"
    assert told["statuses"] == "started started"
    assert told["linked"] == "yes"
    assert told["on"] == "0 active", "it runs without a server"
    assert told["left"] == "none 0"


@pytest.mark.parametrize(
    "text", [UNIT, KEEPER_UNIT, DOCKERFILE, OPERATIONS], ids=["unit", "keeper", "Dockerfile", "operations.md"]
)
def test_the_variables_that_are_set_are_settings(text: str) -> None:
    named = set(re.findall(r"LABPLANE_([A-Z_]+)=", text))
    assert named
    assert {name.lower() for name in named} <= SETTINGS.keys()


def test_the_image_is_made_of_all_that_the_wheel_needs_and_of_nothing_else() -> None:
    kept = {line[1:] for line in (TREE / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((TREE / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {path.split("/")[0] for path in packages}
    licences = {path.split("/")[0] for path in project["project"]["license-files"]}
    assert kept == needed | {"pyproject.toml", project["project"]["readme"], *licences}


def test_the_families_of_metrics_and_the_members_of_log_lines_are_documented(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--log-format", "json") as server:
        server.project()
        vms = f"{server.project()}/vpcs/vms"
        server.http.post(vms, json={"name": "PC"})
        families = set(re.findall(r"^# TYPE (labplane_\w+)", server.http.get("/metrics").text, re.MULTILINE))
        server.stop()
        members = {name for line in server.log.splitlines() for name in json.loads(line)}
    assert families == set(re.findall(r"^\| `(labplane_\w+)`", OPERATIONS, re.MULTILINE))
    logs = OPERATIONS.partition("## Logs")[2].partition("\n## ")[0]
    assert members - {"exception"} <= set(re.findall(r"`(\w+)`", logs))
