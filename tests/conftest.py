"""Fixtures that many tests use."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

TREE = Path(__file__).parent.parent
STRANGERS = [*sorted(TREE.glob("tests/thirdparty/labplane-*")), *sorted(TREE.glob("drivers/labplane-*"))]

collect_ignore = ["thirdparty"]  # whose tests run where it is installed

# Files that take a minute or more, most of it without a processor. Begun first, they end before the others do.
LONG = (
    "tests/kernel/keeper/test_groups.py",
    "tests/kit/test_mutants.py",
    "tests/kernel/cli/test_new_plugin.py",
    "tests/test_action.py",
    "drivers/labplane-qemu/tests/test_qemu_conformance.py",
    "tests/contract/test_document.py",
    "tests/kit/test_wires.py",
    "tests/kit/test_installed.py",
    "drivers/labplane-qemu/tests/test_qemu.py",
    "tests/test_contrib.py",
)


hypothesis.settings.register_profile("untimed", deadline=None)  # what else runs here decides how long an example takes
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    first = {TREE / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: first.get(item.path, len(LONG)))


def pytest_collection_finish() -> None:
    """Modules have read by now how much they are to do; to a server these variables would be settings that it lacks."""
    for name in [name for name in os.environ if name.startswith("LABPLANE_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a fresh environment in which pip has put labplane, its kit, and all strangers beside it.

    Tests that run side by side share it, and leave it as it is.
    """
    place = tmp_path_factory.getbasetemp()
    home = (place.parent if "PYTEST_XDIST_WORKER" in os.environ else place) / "environment"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "made").exists():
            _make_environment(home)
            (home / "made").touch()
    return home / "bin"


def _make_environment(home: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    # The backend is installed once and shared, instead of once for each of the builds.
    for what in (["hatchling>=1.25"], ["--no-build-isolation", f"{TREE}[testing]", *STRANGERS]):
        command = [home / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", *what]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
