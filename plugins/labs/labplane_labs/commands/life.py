"""The commands `up`, `down`, `ps` and `check`."""

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labplane_client import AsyncClient
from labplane_labs import ids, servers
from labplane_labs.commands.common import (
    FAILED,
    At,
    common,
    complete_lab,
    is_of,
    lab_name,
    labs_of,
    read_lab,
    run,
    schema_of,
    table,
    the_file,
)
from labplane_labs.problems import BadFile

if TYPE_CHECKING:
    from rich.status import Status

    from labplane_labs.bringing import Outcome, Step
    from labplane_labs.labfile import LabFile


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--wait", is_flag=True, help="Until every node is at its prompt")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for all of it")
@click.option("--count", type=click.IntRange(1, 1000), help="So many copies, each a project of its own: NAME-01, …")
@click.option("--prune", is_flag=True, help="Remove nodes and links that are there and not in the file")
@common
def up(at: At, file: str | None, wait: bool, timeout: float | None, count: int | None, prune: bool) -> int:
    """Bring the lab in FILE up; what is up already stays as it is.

    FILE is lab.yaml unless given. A server is started in the background when none runs on this host.
    Exit codes: 0 it is up, 1 something failed, 2 the file is bad, 3 it took too long.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    path = the_file(file)
    _, started = servers.ensure(at.url)
    if started:
        click.echo(f"A server was started at {at.where}; its log is {servers.log_file()}.", err=True)
    lab, schema = read_lab(at, path)
    names = [lab.name] if count is None else [ids.copy_name(lab.name, number) for number in range(1, count + 1)]
    outcomes: list[Outcome] = []
    code = run(_up(at, lab, schema, names, outcomes, wait=wait, deadline=deadline, prune=prune))
    at.show([asdict(outcome) for outcome in outcomes], lambda: _tell(outcomes))
    return code or (FAILED if any(outcome.failures for outcome in outcomes) else 0)


async def _up(
    at: At,
    lab: "LabFile",
    schema: Mapping[str, Any],
    names: list[str],
    outcomes: "list[Outcome]",
    *,
    wait: bool,
    deadline: float | None,
    prune: bool,
) -> int:
    from labplane_labs.bringing import up as bring_up

    async with at.async_client() as client:
        for name in names:
            with _progress(name, at.output) as tell:
                outcomes.append(
                    await bring_up(client, lab, schema, name=name, wait=wait, deadline=deadline, prune=prune, tell=tell)
                )
    return 0


class _progress:  # noqa: N801 - reads as a function
    """A line that says what is being done, on a terminal; nothing elsewhere."""

    def __init__(self, lab: str, output: str) -> None:
        self._status: Status | None = None
        self._lab = lab
        if output == "text" and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(f"{lab}: …")

    def __enter__(self) -> "_progress":
        if self._status is not None:
            self._status.start()
        return self

    def __call__(self, step: "Step") -> None:
        if self._status is not None:
            self._status.update(f"{self._lab}: {step.to} {step.what}")

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()


def _tell(outcomes: "list[Outcome]") -> None:
    for outcome in outcomes:
        by_step: dict[str, list[str]] = {}
        for step in outcome.steps:
            by_step.setdefault(step.what, []).append(step.to)
        for what, them in by_step.items():
            shown = ", ".join(them[:8]) + (f" and {len(them) - 8} more" if len(them) > 8 else "")
            click.echo(f"{outcome.lab}: {what} {shown}")
        for extra in outcome.extra:
            click.echo(f"{outcome.lab}: {extra} is there and not in the file; --prune removes it")
        for failure in outcome.failures:
            click.echo(f"{outcome.lab}: {failure}", err=True)
        if not outcome.failures:
            click.echo(f"{outcome.lab} is up" + ("" if outcome.steps else ", as it was before"))


@click.command()
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option("--all", "everything", is_flag=True, help="All labs, and the server that `labplane up` started")
@click.option("--keep-files", is_flag=True, help="Close the lab; its files stay, for the next `up`")
@common
def down(at: At, lab: str | None, everything: bool, keep_files: bool) -> int:
    """End the lab of a FILE or of that name, with all its copies, and delete its files.

    LAB is lab.yaml unless given. Exit codes: 0 it is down, 1 something failed, 2 the file is bad.
    """
    name = None if everything else lab_name(lab)
    if name is None and not everything:
        raise click.UsageError("There is no lab.yaml here; name a lab or its file, or --all.")
    if everything and not servers.answers(at.where):
        projects = []
    else:
        with at.client() as client:
            projects = labs_of(client, name)
        run(_down(at, [project.project_id for project in projects], keep_files=keep_files))
    stopped = everything and at.url is None and servers.stop_background()
    ended = [project.name for project in projects]

    def text() -> None:
        for one in ended:
            click.echo(f"{one} is down")
        if not ended:
            click.echo("no lab is up" if everything else f"{name} is not up")
        if stopped:
            click.echo("the server that was started in the background has ended")

    at.show({"down": ended, "server_stopped": stopped}, text)
    return 0


async def _down(at: At, projects: list[str], *, keep_files: bool) -> int:
    import asyncio

    async def end(client: AsyncClient, project_id: str) -> None:
        await (client.close_project(project_id) if keep_files else client.delete_project(project_id))

    async with at.async_client() as client, asyncio.TaskGroup() as group:
        for project_id in projects:
            group.create_task(end(client, project_id))
    return 0


@click.command()
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option("--processes", is_flag=True, help="What runs for a projects directory, whether a server is there or not")
@click.option("--projects-dir", help="The directory, for --processes, which it implies [default: the settings']")
@click.option("--config", type=click.Path(dir_okay=False), help="The settings file, likewise")
@click.option("--json", "as_json", is_flag=True, help="As -o json")
@common
def ps(at: At, lab: str | None, processes: bool, projects_dir: str | None, config: str | None, as_json: bool) -> int:
    """List the labs that are up and their nodes."""
    at = replace(at, output="json") if as_json else at
    if processes or projects_dir or config:
        context = click.get_current_context()
        root = context.find_root().command
        listing = root.get_command(context, "processes") if isinstance(root, click.Group) else None
        assert listing is not None  # noqa: S101 - a command of labplane itself
        path = None if config is None else Path(config)
        context.invoke(listing, config=path, projects_dir=projects_dir, as_json=at.output == "json")
        return 0
    name = None if lab is None else lab_name(lab)
    shown = []
    with at.client() as client:
        for project in client.projects():
            if name is not None and not is_of(project.name or "", name):
                continue
            for node in client.topology(project)["nodes"]:
                row = {key: node[key] for key in ("name", "kind", "status", "console", "vm_id")}
                shown.append({"lab": project.name, "project_id": project.project_id, **row})

    def text() -> None:
        rows = [(one["lab"], one["name"], one["kind"], one["status"], one["console"]) for one in shown]
        table(("LAB", "NODE", "KIND", "STATUS", "CONSOLE"), rows)

    at.show(shown, text)
    return 0


@click.command()
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False))
@common
def check(at: At, files: tuple[str, ...]) -> int:
    """Say what is wrong with lab files, with line and column, and change nothing.

    The kinds are those of the server; of this environment when none answers. Exit codes: 0 all are good, 2 one is bad.
    """
    from labplane_labs.labfile import load

    schema = schema_of(at)
    problems = []
    paths = [the_file(file) for file in files] or [the_file(None)]
    for path in paths:
        try:
            load(path, schema)
        except BadFile as error:
            problems += error.problems
    if problems:
        raise BadFile(problems)
    at.show({"problems": []}, lambda: click.echo("\n".join(f"{path} is a good lab" for path in paths)))
    return 0
