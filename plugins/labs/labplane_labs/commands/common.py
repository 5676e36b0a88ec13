"""What the commands share: their options, how they find a server and a lab, what they print, how they end."""

import json
import re
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labplane_client import VM, AsyncClient, Client, ClientError, Project
from labplane_labs import ids, servers
from labplane_labs.problems import BadFile, TooLate

if TYPE_CHECKING:
    from labplane_labs.labfile import LabFile

FAILED, BAD_FILE, TOO_LATE = 1, 2, 3
USUAL_FILES = ("lab.yaml", "lab.yml")
COPY = re.compile(r"(.+)-\d{2,}")


@dataclass(frozen=True)
class At:
    """Which server a command is for, and how it prints.

    url: None for the usual one on this host.
    """

    url: str | None
    token: str | None
    output: str

    @property
    def where(self) -> str:
        return self.url or servers.usual()

    def client(self) -> Client:
        return Client(self.where, token=self.token)

    def async_client(self) -> AsyncClient:
        return AsyncClient(self.where, token=self.token)

    def show(self, value: Any, text: Callable[[], None]) -> None:
        """Print `value` as JSON, or call `text`, as -o says."""
        if self.output == "json":
            click.echo(json.dumps(value, indent=4, sort_keys=True))
        else:
            text()


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the usual options, as an `At`, and an exit code for each thing that can go wrong."""

    @click.option("--url", envvar="LABPLANE_URL", help="The server [default: the usual one on this host]")
    @click.option("--token", envvar="LABPLANE_TOKEN", help="The token of a server that wants one")
    @click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="[default: text]")
    @wraps(command)
    def called(url: str | None, token: str | None, output: str, **more: Any) -> None:
        at = At(url.rstrip("/") if url else None, token, output)
        try:
            code = command(at, **more)
        except BadFile as error:
            problems = [vars(problem) for problem in error.problems]
            if output == "json":
                click.echo(json.dumps({"problems": problems}, indent=4, sort_keys=True))
            else:
                click.echo(str(error), err=True)
            code = BAD_FILE
        except TooLate as error:
            click.echo(str(error), err=True)
            code = TOO_LATE
        except (ClientError, servers.NoServer) as error:
            click.echo(_advice(error, at), err=True)
            code = FAILED
        except OSError as error:
            click.echo(f"{error.filename or 'The system'}: {error.strerror}", err=True)
            code = FAILED
        if code:
            sys.exit(code)

    return called


def _advice(error: Exception, at: At) -> str:
    if isinstance(error, ClientError) and error.status is None and "does not answer" in error.message and not at.url:
        return f"No server answers at {at.where}; `labplane up` starts one, or --url names another."
    return str(error)


def run(main: Coroutine[Any, Any, int | None]) -> int:
    """The exit code of a coroutine; a refusal out of a task group is raised as itself."""
    import asyncio

    try:
        return asyncio.run(main) or 0
    except* ClientError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raised = error
    raise raised


def the_file(given: str | None) -> Path:
    """The lab file: the one that is named, or lab.yaml here."""
    if given is not None:
        return Path(given)
    for name in USUAL_FILES:
        if Path(name).is_file():
            return Path(name)
    raise click.UsageError("There is no lab.yaml here; name the file of the lab.")


def read_lab(at: At, path: Path) -> tuple["LabFile", Mapping[str, Any]]:
    """The lab in a file, and the schema that it fits. Raises BadFile, ClientError."""
    from labplane_labs.labfile import load

    with at.client() as client:
        schema = client.call("GET", "/v1/lab.schema.json")
    return load(path, schema), schema


def schema_of(at: At) -> Mapping[str, Any]:
    """The schema of lab files: the server's; that of this environment when no server answers."""
    import subprocess

    from labplane_labs.schema import lab_schema

    if at.url is not None or servers.answers(at.where):
        with at.client() as client:
            found: Mapping[str, Any] = client.call("GET", "/v1/lab.schema.json")
            return found
    done = subprocess.run([sys.executable, "-m", "labplane", "openapi"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise servers.NoServer(f"The kinds of this environment cannot be listed: {done.stderr.strip()}")
    return lab_schema(json.loads(done.stdout))


def labs_of(client: Client, name: str | None = None) -> list[Project]:
    """The open projects that were made from lab files; of the lab of that name and its copies, if one is given."""
    found = [project for project in client.projects() if project.project_id == ids.project_id(project.name or "")]
    return [project for project in found if name is None or is_of(project.name or "", name)]


def is_of(project: str, lab: str) -> bool:
    """Whether the project of that name is that lab or one of its copies."""
    copy = COPY.fullmatch(project)
    return project == lab or (copy is not None and copy[1] == lab)


def lab_name(given: str | None) -> str | None:
    """The name of a lab that is given by name or by its file; that of lab.yaml here, if there is one; else None."""
    from labplane_labs.reading import read

    if given is not None and not (given.endswith((".yaml", ".yml")) or "/" in given):
        return given
    if given is None and not any(Path(name).is_file() for name in USUAL_FILES):
        return None
    data = read(the_file(given)).data
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise click.UsageError(f"{the_file(given)} is no lab: it has no name.")
    return str(data["name"])


def find_nodes(client: Client, wanted: str | None, lab: str | None) -> list[tuple[Project, Mapping[str, Any]]]:
    """The nodes of that name, NODE or LAB/NODE, with their projects; all of the lab when none is wanted."""
    given, _, node = (wanted or "").rpartition("/")
    if given:
        name: str | None = given
    else:
        name = lab_name(lab)
    projects = client.projects()
    if name is not None:
        projects = [project for project in projects if is_of(project.name or "", name) or project.project_id == name]
        exact = [project for project in projects if name in (project.name, project.project_id)]
        projects = exact or projects
    return [
        (project, one)
        for project in projects
        for one in client.topology(project)["nodes"]
        if wanted is None or node in (one["name"], one["vm_id"])
    ]


def find_node(client: Client, wanted: str, lab: str | None) -> VM:
    """The one node of that name. Exits with a sentence when there is none, or more than one."""
    found = find_nodes(client, wanted, lab)
    if len(found) > 1:
        where = ", ".join(f"{project.name}/{node['name']}" for project, node in found[:10])
        raise ClientError(None, f"Which one? {where}")
    if not found:
        there = sorted({f"{project.name}/{node['name']}" for project, node in find_nodes(client, None, lab)})
        raise ClientError(None, f"There is no node {wanted!r}; there is {', '.join(there[:20]) or 'no node at all'}.")
    project, node = found[0]
    return client.vm(project, node["kind"], node["vm_id"])


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False)
    for title in head:
        made.add_column(title, overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    Console(highlight=False, markup=False).print(made)


def complete_lab(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Names of labs, for the shell."""
    return [name for name in _names(context, nodes=False) if name.startswith(begun)]


def complete_node(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Names of nodes, for the shell."""
    return [name for name in _names(context, nodes=True) if name.startswith(begun)]


def _names(context: click.Context, *, nodes: bool) -> list[str]:
    given = context.params
    try:
        with At(given.get("url"), given.get("token"), "text").client() as client:
            if not nodes:
                return sorted(project.name or "" for project in client.projects())
            found = find_nodes(client, None, given.get("lab"))
    except Exception:  # a shell wants no complaints
        return []
    return sorted({name for project, node in found for name in (node["name"], f"{project.name}/{node['name']}")})
