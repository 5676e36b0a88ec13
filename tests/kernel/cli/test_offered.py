"""Commands that other distributions offer: imported when they are called, named and left out when they are broken."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import click
import pytest
from click.testing import CliRunner

from labplane.cli import main, offered


@click.command()
def greet() -> None:
    """Say hello."""
    click.echo("hello")


NO_COMMAND = "no command"


def offer(monkeypatch: pytest.MonkeyPatch, **commands: str) -> None:
    entries = EntryPoints(EntryPoint(name, value, offered.GROUP) for name, value in commands.items())
    monkeypatch.setattr(offered, "entry_points", lambda group: entries.select(group=group))


def test_a_command_of_a_third_party_is_one_of_labplane(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, greet=f"{__name__}:greet")
    assert CliRunner().invoke(main, ["greet"]).output == "hello\n"
    assert re.search("^  greet +Say hello.$", CliRunner().invoke(main, ["--help"]).output, re.MULTILINE)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("labplane_nowhere:greet", "ModuleNotFoundError: No module named 'labplane_nowhere'"),
        (f"{__name__}:NO_COMMAND", "is no click command"),
        (f"{__name__}:nothing", "AttributeError"),
    ],
)
def test_a_broken_command_is_named_and_left_out(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    offer(monkeypatch, broken=value, greet=f"{__name__}:greet")
    listed = CliRunner().invoke(main, ["--help"])
    assert listed.exit_code == 0
    assert "The command broken of an unknown distribution is left out: " in listed.stderr
    assert reason in listed.stderr
    assert "\n  broken" not in listed.stdout
    assert "\n  greet" in listed.stdout
    assert CliRunner().invoke(main, ["greet"]).exit_code == 0
    called = CliRunner().invoke(main, ["broken"])
    assert called.exit_code == 2
    assert reason in called.stderr


def test_a_name_that_labplane_has_itself_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, serve=f"{__name__}:greet")
    listed = CliRunner().invoke(main, ["--help"])
    assert "labplane has a command of that name itself" in listed.stderr
    assert "Run the server" in listed.stdout


def test_a_command_is_not_imported_for_another() -> None:
    code = "import sys; from labplane.cli import main; main(['new-plugin', '--help'], standalone_mode=False)"
    code += "; print([name for name in sys.modules if name.startswith('labplane_labs')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_that_asks_a_server_imports_nothing_that_only_others_need() -> None:
    """It would start half as fast with them; `ps` comes to its first request, and nobody answers."""
    code = """
import sys
from labplane.cli import main
try:
    main(["ps", "--url", "http://127.0.0.1:1"], standalone_mode=False)
finally:
    print([name for name in ("jsonschema", "psutil", "rich", "ruamel", "starlette") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "http://127.0.0.1:1 does not answer" in done.stderr
    assert done.stdout.splitlines() == ["[]"]
