"""The action of this repository: its steps, run as GitHub's runner runs them, with labs that pass and that fail."""

import os
import re
import socket
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from support import free_range

TREE = Path(__file__).parent.parent
ACTION = YAML(typ="safe").load((TREE / "action.yml").read_text())
WORKFLOW = YAML(typ="safe").load((TREE / ".github" / "workflows" / "labs.yml").read_text())
INSTALL, UP, TEST, DOWN = ACTION["runs"]["steps"]


class Runner:
    """A runner with directories of its own."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        for name in ("workspace", "temp", "home"):
            (folder / name).mkdir()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "RUNNER_TEMP": str(folder / "temp"),
            "LABPLANE_PORT": free_range(1).partition("-")[0],
            "LABPLANE_CONSOLE_PORTS": free_range(8),
            "LABPLANE_UDP_PORTS": free_range(16, socket.SOCK_DGRAM),
        }

    def run(self, step: Mapping[str, Any], **inputs: str) -> "subprocess.CompletedProcess[str]":
        """Run a step as `shell: bash` does; its variables are all that inputs get into."""
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
        values = {name: one["default"] for name, one in ACTION["inputs"].items()} | inputs
        assert values.keys() == ACTION["inputs"].keys()
        contexts = {f"inputs.{name}": value for name, value in values.items()} | {"github.action_path": str(TREE)}
        given = {
            name: re.sub(r"\${{ *([a-z_.]+) *}}", lambda found: contexts[found[1]], text)
            for name, text in step.get("env", {}).items()
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        environment = {**self._environment, **given}
        return subprocess.run(command, cwd=self.workspace, env=environment, capture_output=True, text=True, check=False)

    def play(self, **inputs: str) -> list[int]:
        """The exit codes of the steps after the first, of which only those that always run follow one that failed."""
        codes: list[int] = []
        for step in (UP, TEST, DOWN):
            if not any(codes) or step.get("if") == "always()":
                done = self.run(step, **inputs)
                print(done.stdout, done.stderr)
                codes.append(done.returncode)
        return codes

    def report(self, name: str) -> "ET.ElementTree[ET.Element]":
        return ET.parse(self.workspace / name)  # noqa: S314 - our own

    def left_over(self) -> list[str]:
        """The processes that still run out of its environment."""
        mine = self._environment["RUNNER_TEMP"]
        return [
            " ".join(one.info["cmdline"])
            for one in psutil.process_iter(["cmdline"])
            if mine in str(one.info["cmdline"])
        ]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("runner"))
    assert runner.run(DOWN).returncode == 0  # as when the installation has failed
    done = runner.run(INSTALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vpcs: ok" in done.stdout
    yield runner
    assert runner.left_over() == []


def test_a_lab_that_works_passes_and_is_taken_down(runner: Runner) -> None:
    assert runner.play(lab=str(TREE / "examples" / "switch.yaml")) == [0, 0, 0]
    (suite,) = runner.report("labplane-junit.xml").iter("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")


def test_a_test_that_fails_makes_the_action_fail_with_its_report_and_the_lab_is_taken_down(runner: Runner) -> None:
    lab = (TREE / "examples" / "two-pcs.yaml").read_text()
    (runner.workspace / "lab.yaml").write_text(lab.replace("icmp_seq=2", "icmp_seq=99"))
    assert runner.play(junit="report.xml") == [0, 1, 0]
    assert list(runner.report("report.xml").iter("failure"))
    assert runner.left_over() == []


def test_a_bad_file_makes_the_action_fail(runner: Runner) -> None:
    (runner.workspace / "lab.yaml").write_text("name: bad\n")
    assert runner.play() == [2, 0]


def test_the_workflow_uses_the_action_with_examples_that_pass_by_themselves() -> None:
    (job,) = WORKFLOW["jobs"].values()
    labs = set(job["strategy"]["matrix"]["lab"])
    (used,) = [step for step in job["steps"] if step.get("uses") == "./"]
    assert used["with"].keys() <= ACTION["inputs"].keys()
    for lab in labs:
        assert (TREE / used["with"]["lab"].replace("${{ matrix.lab }}", lab)).is_file()
    kinds = {lab: (TREE / "examples" / f"{lab}.yaml").read_text() for lab in labs}
    assert not [lab for lab, text in kinds.items() if "kind: linux" in text]  # which the action installs no driver for
