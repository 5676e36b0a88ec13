"""``labplane new-plugin``: what it writes, and what it refuses to."""

import ast
import logging
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inprocess import own
from labplane import Plugin
from labplane.cli import main
from labplane.cli.scaffold import FLAVOURS, versions_from
from labplane.plugins import files
from labplane.plugins.loading import Candidate

TREE = Path(__file__).parents[3]
MOST_LINES_OF_A_DRIVER = 60


class Bare(Plugin):
    pass


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory; installed are labplane's own plugins and one of a stranger, which brings nothing."""
    offered = [*own(), Candidate("bare", lambda: Bare, "labplane-bare", "0.9")]
    monkeypatch.setattr(files, "installed", lambda: offered)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    for name in os.environ:
        if name.startswith("LABPLANE_"):
            monkeypatch.delenv(name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "here"
    logging.disable(logging.NOTSET)


def write(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["new-plugin", *arguments])


def refusal(*arguments: str) -> str:
    """Why that is refused; nothing has been written."""
    before = sorted(Path.cwd().rglob("*"))
    result = write(*arguments)
    assert result.exit_code == 1
    assert sorted(Path.cwd().rglob("*")) == before
    return result.output


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_it_writes_a_whole_distribution_and_names_each_file(flavour: str, workplace: Path) -> None:
    result = write("labplane-thing", f"--{flavour}")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[:-1] == [
        "labplane-thing/.github/workflows/test.yml",
        "labplane-thing/.gitignore",
        "labplane-thing/README.md",
        "labplane-thing/labplane_thing.py",
        "labplane-thing/pyproject.toml",
        "labplane-thing/tests/test_thing.py",
    ]
    assert all((workplace / path).is_file() for path in result.output.splitlines()[:-1])
    assert [path.name for path in workplace.iterdir()] == ["labplane-thing"]
    project = tomllib.loads((workplace / "labplane-thing" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "labplane-thing"
    assert project["dependencies"] == ["labplane>=1,<2"]
    assert project["optional-dependencies"] == {"test": ["labplane[testing]>=1,<2"]}
    assert project["entry-points"] == {"labplane.v1": {"thing": "labplane_thing:ThingPlugin"}}
    assert "${{ matrix.python }}" in (workplace / "labplane-thing" / ".github" / "workflows" / "test.yml").read_text()


def test_without_a_flavour_it_is_a_program_on_a_terminal(workplace: Path) -> None:
    assert write("labplane-one").exit_code == write("labplane-two", "--process").exit_code == 0
    one, two = ((workplace / f"labplane-{name}" / f"labplane_{name}.py").read_text() for name in ("one", "two"))
    assert (
        one.replace("one", "two").replace("One", "Two").replace("each of which is two", "each of which is one") == two
    )
    assert "(ProcessDriver)" in one


@pytest.mark.parametrize("flavour", ["process", "plain"])
def test_a_driver_is_short(flavour: str, workplace: Path) -> None:
    """With its pyproject.toml; the one on a terminal with its test too."""
    assert write("labplane-thing", f"--{flavour}").exit_code == 0
    parts = {"process": ["pyproject.toml", "labplane_thing.py", "tests/test_thing.py"], "plain": ["labplane_thing.py"]}
    texts = [(workplace / "labplane-thing" / part).read_text() for part in parts[flavour]]
    assert sum(len(text.splitlines()) for text in texts) < MOST_LINES_OF_A_DRIVER


@pytest.mark.parametrize(
    ("distribution", "options", "module", "kind"),
    [
        ("labplane-my-box", [], "labplane_my_box", "my_box"),
        ("LabPlane_My.Box", [], "labplane_my_box", "my_box"),
        ("acme-router", [], "acme_router", "acme_router"),
        ("labplane-x", ["--kind", "acme_7200"], "labplane_x", "acme_7200"),
    ],
)
def test_module_and_kind_follow_from_the_name(
    distribution: str, options: list[str], module: str, kind: str, workplace: Path
) -> None:
    assert write(distribution, *options).exit_code == 0
    tree = ast.parse((workplace / distribution / f"{module}.py").read_text())
    driver = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    assert f"kind = '{kind}'" in [ast.unparse(node) for node in driver.body]
    assert (workplace / distribution / "tests" / f"test_{kind}.py").is_file()
    points = tomllib.loads((workplace / distribution / "pyproject.toml").read_text())["project"]["entry-points"]
    assert list(points["labplane.v1"]) == [kind]


def test_what_it_writes_is_formatted_linted_and_typed(workplace: Path) -> None:
    """With the configuration of labplane itself, whether names are short or long."""
    for number, flavour in enumerate(FLAVOURS):
        for name in (f"x{number}", f"of-the-greatest-length-there-is{number}"):
            assert write(f"labplane-{name}", f"--{flavour}").exit_code == 0
    config = str(TREE / "pyproject.toml")
    files = [str(path.relative_to(workplace)) for path in workplace.rglob("*.py")]
    assert len(files) == 2 * 2 * len(FLAVOURS)
    for check in (
        ["ruff", "format", "--check", "--no-cache", "--config", config],
        ["ruff", "check", "--no-cache", "--config", config, "--extend-per-file-ignores", "**/tests/**:S101"],
        ["mypy", "--config-file", config, "--cache-dir", str(TREE / ".mypy_cache")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *check, *files], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{check[0]}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no name"], "'no name' is no name for a distribution"),
        (["../up"], "'../up' is no name for a distribution"),
        (["thing-"], "'thing-' is no name for a distribution"),
        (["2fast"], "A Python module cannot be called '2fast'; try labplane-2fast."),
        (["class"], "A Python module cannot be called 'class'; try labplane-class."),
        (["json"], "There is a Python module 'json' already"),
        (["labplane"], "There is a Python module 'labplane' already"),
        (["labplane-vpcs"], "There is a Python module 'labplane_vpcs' already"),
        (["labplane-thing", "--kind", "Thing"], "'Thing' cannot stand in URLs"),
        (["labplane-thing", "--kind", "a-b"], "'a-b' cannot stand in URLs"),
        (["labplane-thing", "--kind", ""], "'' cannot stand in URLs"),
        (["labplane-thing", "--kind", "x" * 33], "a lower-case word of at most 32 letters"),
        (["labplane-2fast"], "'2fast' cannot stand in URLs"),
        (["labplane-process"], "would be called ProcessDriver like one of labplane's; choose another with --kind."),
        (["my-vpcs", "--kind", "vpcs"], "The kind 'vpcs' is taken by the plugin vpcs of labplane 1."),
        (["labplane-bare"], "The kind 'bare' is taken by the plugin bare of labplane-bare 0.9"),
        (["labplane-bare", "--routes"], "The name 'bare' is taken by the plugin bare of labplane-bare 0.9"),
        (["labplane-version", "--routes"], "The route GET /v1/version exists already"),
        (["labplane-thing", "--routes", "--kind", "thing"], "leave out --kind or --routes"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(arguments: list[str], words: str) -> None:
    assert words in refusal(*arguments)


def test_an_empty_directory_is_filled_and_any_other_left_alone(workplace: Path) -> None:
    (workplace / "labplane-empty").mkdir()
    assert write("labplane-empty").exit_code == 0
    assert (workplace / "labplane-empty" / "pyproject.toml").is_file()
    assert "labplane-empty exists already; remove it" in refusal("labplane-empty")
    (workplace / "labplane-file").write_text("")
    assert "labplane-file exists already; remove it" in refusal("labplane-file")
    (workplace / "labplane-link").symlink_to(workplace / "nowhere")
    assert "labplane-link exists already; remove it" in refusal("labplane-link")


def test_a_failure_half_way_leaves_nothing(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    write_text = Path.write_text

    def full(path: Path, *arguments: str) -> int:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(path)
        return write_text(path, *arguments)

    monkeypatch.setattr(Path, "write_text", full)
    assert "labplane-thing cannot be written: No space left on device." in refusal("labplane-thing")
    assert len(written) == 3


def test_the_range_begins_with_this_version_and_ends_with_its_major_one() -> None:
    assert [versions_from(version) for version in ("1.0.0", "1.0.3", "1.4.2", "2.0rc1", "3")] == [
        ">=1,<2",
        ">=1,<2",
        ">=1.4,<2",
        ">=2,<3",
        ">=3,<4",
    ]
