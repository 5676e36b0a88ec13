"""The command line: ``labplane serve | processes | gc | keeper | plugins | …`` and those of authoring.py."""

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labplane.cli import authoring
from labplane.cli.offered import Commands
from labplane.cli.options import settings_options
from labplane.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from labplane.kernel import Kernel

_config = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="LABPLANE_CONFIG",
    help="Settings file [default: labplane.toml in the user's configuration directory, if it exists]",
)
_plugins_dir = settings_options("plugins_dir")
_projects_dir = settings_options("projects_dir")
_as_json = click.option("--json", "as_json", is_flag=True, help="As JSON")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="labplane")
def main() -> None:
    """labplane runs emulated network machines and speaks the GNS3 server API v1."""


@main.command()
@_config
@settings_options()
@click.option("--keep", "on_exit", flag_value="keep", default=None, help="The same as --on-exit keep")
def serve(config: Path | None, **overrides: Any) -> None:
    """Run the server until SIGTERM or SIGINT."""
    from labplane.plugins.loading import PluginError
    from labplane.server import configuration
    from labplane.server.exposure import Exposed
    from labplane.server.serving import serve as run
    from labplane.server.utf8 import ensure_utf8

    ensure_utf8()

    def read() -> Settings:
        return configuration.read(config, os.environ, overrides)

    try:
        run(read)
    except (SettingsError, PluginError) as error:
        raise (click.UsageError if isinstance(error, Exposed) else click.ClickException)(str(error)) from None


@main.command()
@_config
@_plugins_dir
@click.option("--json", "as_json", is_flag=True, help="As JSON, like GET /v1/plugins")
def plugins(config: Path | None, plugins_dir: str | None, as_json: bool) -> None:
    """List the installed plugins and what became of each; exit code 1 when one failed."""
    import asyncio

    lab = _lab(config, plugins_dir)
    reports = lab.plugins.reports
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], indent=4, sort_keys=True))
    else:
        for report in reports:
            click.echo(f"{report.name}: {report.state} ({report.source})")
            for title, values in (("kinds", report.kinds), ("hooks", report.hooks)):
                if values:
                    click.echo(f"    {title}: {', '.join(values)}")
            for kind in report.kinds:
                if (lacks := asyncio.run(lab.lacks(kind))) is not None:
                    click.echo(f"    {kind} VMs cannot start here: {lacks}")
            if report.unconfined:
                click.echo(f"    not confined: {', '.join(report.unconfined)}")
            for route in report.routes:
                click.echo(f"    {route}")
            for sentence in (*report.warnings, *([report.error] if report.error else [])):
                click.echo(f"    {sentence}")
    sys.exit(any(report.state == "failed" for report in reports))


@main.command()
@_config
@_projects_dir
@_as_json
def processes(config: Path | None, projects_dir: str | None, as_json: bool) -> None:
    """List what runs for a projects directory, whether a server is there or not."""
    from labplane.cli import machines

    _tell(machines.listed, config, projects_dir, as_json)


@main.command()
@_config
@_projects_dir
@_as_json
def gc(config: Path | None, projects_dir: str | None, as_json: bool) -> None:
    """End all that was ever started for a projects directory, and list it; a server that is there shows it stopped."""
    from labplane.cli import machines

    _tell(machines.ended, config, projects_dir, as_json)


@main.command()
@_config
@_projects_dir
def keeper(config: Path | None, projects_dir: str | None) -> None:
    """Own what runs for a projects directory, until SIGTERM: as a service of its own, beside that of the server."""
    from labplane.cli import machines
    from labplane.server import configuration

    try:
        directory = configuration.read(config, os.environ, {"projects_dir": projects_dir}).projects_path / ".labplane"
        machines.keep(directory)
    except (SettingsError, OSError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@_config
@_plugins_dir
def openapi(config: Path | None, plugins_dir: str | None) -> None:
    """Print the OpenAPI document of a server with these settings, like GET /v1/openapi.json."""
    click.echo(json.dumps(_lab(config, plugins_dir).document(), indent=4, sort_keys=True))


@main.command("new-plugin")
@click.argument("name")
@_config
@_plugins_dir
@click.option("--kind", help="The kind of its VMs [default: NAME without a leading labplane-]")
@click.option("--process", "flavour", flag_value="process", default="process", help="A program on a terminal [default]")
@click.option("--plain", "flavour", flag_value="plain", help="Whatever can be started and stopped")
@click.option("--routes", "flavour", flag_value="routes", help="HTTP routes, and no VMs")
def new_plugin(name: str, config: Path | None, plugins_dir: str | None, kind: str | None, flavour: str) -> None:
    """Write the distribution of a new plugin, with tests, into the directory ./NAME."""
    from importlib.metadata import version

    from labplane.cli import scaffold

    lab = _lab(config, plugins_dir)
    try:
        made = scaffold.new_plugin(
            name, scaffold.FLAVOURS[flavour], lab, version("labplane"), parent=Path.cwd(), kind=kind
        )
    except scaffold.ScaffoldError as error:
        raise click.ClickException(str(error)) from None
    for path in sorted(path for path in made.rglob("*") if path.is_file()):
        click.echo(f"{path.relative_to(made.parent)}")
    click.echo(f"Next: cd {name} && pip install -e '.[test]' && pytest")


def _tell(
    find: "Callable[[Path], list[dict[str, Any]]]", config: Path | None, projects_dir: str | None, as_json: bool
) -> None:
    """Print what `find` gives for the data directory of these settings."""
    from labplane.cli import machines
    from labplane.server import configuration

    try:
        directory = configuration.read(config, os.environ, {"projects_dir": projects_dir}).projects_path / ".labplane"
        found = find(directory)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"The keeper of {directory} cannot be asked: {error.strerror or error}.") from None
    if as_json:
        click.echo(json.dumps(found, indent=4, sort_keys=True))
    else:
        for line in machines.table(found) if found else [f"Nothing runs for {directory.parent}."]:
            click.echo(line)


def _lab(config: Path | None, plugins_dir: str | None) -> "Kernel":
    """A lab that is not served, silent, in which plugins may fail."""
    import logging

    from labplane.kernel import Kernel
    from labplane.plugins.files import available
    from labplane.server import configuration

    logging.disable(logging.CRITICAL)
    try:
        settings = replace(configuration.read(config, os.environ, {"plugins_dir": plugins_dir}), strict=False)
        return Kernel(settings, available(settings))
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


authoring.add_to(main, lambda: _lab(None, None))
