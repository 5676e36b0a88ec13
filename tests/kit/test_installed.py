"""The kit as authors get it: installed by pip, in their environment, beside their other tests."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from broken import CONFIG

TREE = Path(__file__).parent.parent.parent
ECHO = TREE / "tests" / "thirdparty" / "labplane-echo"
RESPONDER = TREE / "tests" / "thirdparty" / "labplane-responder"


def pytest_in(folder: Path, python: Path | str, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest as an author runs it, with warnings as errors."""
    command = [str(python), "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def written(tmp_path: Path) -> str:
    """The test of labplane-echo, for an environment in which there are plugins too that must be disabled."""
    (tmp_path / "labplane.toml").write_text(CONFIG)
    text = (ECHO / "tests" / "test_echo.py").read_text()
    return f"{text}    options = ('--config', {str(tmp_path / 'labplane.toml')!r})\n"


def test_a_third_party_driver_passes_with_a_test_of_three_lines(
    environment: Path, written: str, tmp_path: Path
) -> None:
    """A part of the kit; in an environment without other strangers it passes whole, see test_new_plugin.py."""
    (tmp_path / "test_echo.py").write_text(written)
    done = pytest_in(tmp_path, environment / "python", "-q", "-rs", "-k", "suspended or frames or viewers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "echo VMs cannot suspend" in done.stdout
    assert "not checked: frames" in done.stdout
    assert "1 passed, 6 skipped" in done.stdout


def test_a_third_party_machine_in_the_engine_passes_its_frames_included(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "labplane.toml").write_text(CONFIG)
    text = (RESPONDER / "tests" / "test_responder.py").read_text()
    config = str(tmp_path / "labplane.toml")
    (tmp_path / "test_responder.py").write_text(f"{text}    options = ('--config', {config!r})\n")
    done = pytest_in(tmp_path, environment / "python", "-q", "-rs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not checked: frames" not in done.stdout


def test_the_own_test_that_the_documentation_shows_passes(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "labplane.toml").write_text(CONFIG)
    page = (TREE / "docs" / "testing.md").read_text()
    shown = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]
    server = 'running(tmp_path / "projects"'
    assert server in shown
    config = str(tmp_path / "labplane.toml")
    (tmp_path / "test_own.py").write_text(shown.replace(server, f"{server}, '--config', {config!r}"))
    done = pytest_in(tmp_path, environment / "python", "-q")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_kind_that_nobody_brings_is_told_with_what_became_of_each_plugin(
    environment: Path, written: str, tmp_path: Path
) -> None:
    (tmp_path / "test_typo.py").write_text(written.replace('"echo"', '"ecko"'))
    done = pytest_in(tmp_path, environment / "python", "-q", "-x")
    assert done.returncode == 1
    assert re.search(r"The server has no driver of the kind 'ecko', only echo, (\w+, )+vpcs\.", done.stdout)
    assert "constructor of labplane-broken: OSError: in a constructor" in done.stdout


def test_a_failed_assertion_of_the_kit_explains_itself(tmp_path: Path) -> None:
    """By pytest's rewriting, which the installed plugin asks for."""
    (tmp_path / "test_rewritten.py").write_text(
        "from labplane.testing.server import until\n\ndef test_it():\n    assert until.__globals__['@pytest_ar']\n"
    )
    done = pytest_in(tmp_path, sys.executable, "-q")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_kit_adds_no_fixture_option_or_import_to_other_suites(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\ndef test_it():\n    assert not [name for name in sys.modules if name.startswith('labplane.')]\n"
    )
    done = pytest_in(tmp_path, sys.executable, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    for option in ("--fixtures", "--help", "--markers"):
        with_kit, without = (pytest_in(tmp_path, sys.executable, option, *more) for more in ((), ("-p", "no:labplane")))
        assert _lasting(with_kit.stdout) == _lasting(without.stdout)


def _lasting(text: str) -> list[str]:
    """What does not differ from run to run."""
    return [
        line for line in text.splitlines() if not line.startswith(("plugins: ", "rootdir: ")) and " in " not in line
    ]


def test_a_class_without_a_kind_is_none_to_run(tmp_path: Path) -> None:
    (tmp_path / "test_base.py").write_text(
        "from labplane.testing import DriverTests\n\nclass TestBase(DriverTests):\n    settings = {'size': 1}\n"
    )
    done = pytest_in(tmp_path, sys.executable, "-q", "-o", "python_classes=*Tests Test*")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


@pytest.mark.parametrize("missing", ["pytest", "hypothesis", "httpx2"])
def test_what_the_kit_needs_and_lacks_is_told_with_what_to_do(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None\nimport labplane.testing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: labplane.testing needs {missing}; `pip install 'labplane[testing]'` brings all that it needs."
    )


def test_a_server_loads_nothing_of_the_kit() -> None:
    program = (
        "import json, sys\nfrom labplane import cli, server\nfrom labplane.plugins import loading\n"
        "[one.load() for one in loading.installed() if one.distribution == 'labplane']\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"labplane.testing", "pytest", "hypothesis", "httpx2", "labplane_pytest"} & set(json.loads(done.stdout))
