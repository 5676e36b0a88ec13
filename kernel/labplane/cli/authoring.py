"""The commands for plugins: ``labplane install | uninstall | check-plugin``."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from labplane.kernel import Kernel

THEN = "Restart the server to load what has changed; `labplane plugins` says what becomes of it."


def add_to(main: click.Group, lab: Callable[[], "Kernel"]) -> None:
    """Add the commands to `main`; lab: makes a lab of all that is installed."""

    @main.command()
    @click.argument("what", nargs=-1, required=True)
    def install(what: tuple[str, ...]) -> None:
        """Install plugins, WHAT as pip takes it, into the environment that labplane runs in."""
        _pip("install", *what)

    @main.command()
    @click.argument("names", nargs=-1, required=True)
    def uninstall(names: tuple[str, ...]) -> None:
        """Remove installed plugins, by the NAMES of their distributions; works while they are broken, too."""
        _pip("uninstall", "--yes", *names)

    @main.command("check-plugin")
    @click.argument("path", type=click.Path(file_okay=False, exists=True, path_type=Path), default=Path())
    def check_plugin(path: Path) -> None:
        """Look at the plugin in the directory PATH as its users will meet it; exit code 1 when something is wrong.

        Its metadata, its wheel, what a lab with it says, the OpenAPI document, and its tests.
        """
        from labplane.cli.checking import check

        wrong = 0
        for finding in check(path.resolve(), lab):
            wrong += finding.wrong
            click.echo(f"{'WRONG' if finding.wrong else 'ok   '} {finding.about}: {finding.sentence}")
        click.echo(f"{wrong} thing{'s' if wrong != 1 else ''} to mend." if wrong else "Nothing is wrong.")
        sys.exit(wrong > 0)


def _pip(action: str, *arguments: str) -> None:
    if find_spec("pip") is None:
        raise click.ClickException(
            f"{sys.executable} has no pip. Install pip there (python -m ensurepip), or use what made this environment."
        )
    command = [sys.executable, "-m", "pip", action, "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise click.ClickException(f"pip {action} ended with status {done.returncode}; it says above why.")
    click.echo(THEN)
