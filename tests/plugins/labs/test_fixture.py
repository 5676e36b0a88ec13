"""The fixture `lab`, as a project of a user has it: the example of docs/labs.md, run by a pytest of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parents[3]
PAGE = (TREE / "docs" / "labs.md").read_text()
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


def pytest_in(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LABPLANE_", "PYTEST_"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:schemathesis",
        "--strict-markers",
        "-q",
    ]
    return subprocess.run(
        command, cwd=folder, env={**plain, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the example, the lab that it names, and settings of pytest."""
    (tmp_path / "test_lab.py").write_text(EXAMPLE)
    (tmp_path / "two-pcs.yaml").write_text((TREE / "examples" / "two-pcs.yaml").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def test_the_example_of_the_page_passes_at_a_server_of_its_own(folder: Path) -> None:
    done = pytest_in(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_lab_that_cannot_come_up_fails_with_the_reason(folder: Path) -> None:
    (folder / "two-pcs.yaml").write_text("name: a\nnodes: {pc1: {kind: vpsc}}")
    done = pytest_in(folder)
    assert done.returncode == 1
    assert "two-pcs.yaml:2:21: there is no kind 'vpsc' here" in done.stdout
    assert done.stdout.count("Traceback") == 0
