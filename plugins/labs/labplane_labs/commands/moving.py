"""The commands `save`, `export` and `import`."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labplane_client import Client, ClientError
from labplane_labs import ids
from labplane_labs.commands.common import FAILED, At, common, complete_lab, read_lab, schema_of, the_file
from labplane_labs.schema import startup_of

if TYPE_CHECKING:
    from labplane_labs.labfile import LabFile, Node

ARCHIVED = "labplane.json"


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--beside", is_flag=True, help="Write files FILE.startup/NODE, and leave FILE as it is")
@common
def save(at: At, file: str | None, beside: bool) -> int:
    """Write what was configured at the consoles of a lab into the startup of its FILE, whose comments stay.

    A setting that is no startup is written as itself, or beside FILE as NODE.SETTING. FILE is lab.yaml unless given.
    Exit codes: 0 done, 1 a node could not be saved, 2 the file is bad.
    """
    path = the_file(file)
    lab, schema = read_lab(at, path)
    saved, failures = [], []
    with at.client() as client:
        for node in lab.nodes.values():
            properties = schema["$defs"][f"node.{node.kind}"]["properties"]
            lines = {name: rule["x-saved-by"] for name, rule in properties.items() if "x-saved-by" in rule}
            startup = startup_of(properties)
            try:
                if startup is not None and not lines:
                    raise ClientError(None, f"a {node.kind} does not say how it saves what was configured.")
                texts = _saved(client, lab.name, node, lines)
            except ClientError as error:
                failures.append(f"{node.name}: {error.message}")
                continue
            for name, text in texts.items():
                if beside:
                    folder = path.with_name(f"{path.name}.startup")
                    folder.mkdir(exist_ok=True)
                    (folder / (node.name if name == startup else f"{node.name}.{name}")).write_text(text)
                elif text != (node.settings.get(name) or ""):
                    _put(lab, node, name, "startup" if name == startup else name, text)
            if lines:
                saved.append(node.name)
    if not beside and saved:
        assert lab.document is not None  # noqa: S101 - it was read
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(lab.document.text())
        draft.replace(path)

    def show() -> None:
        click.echo(f"saved {', '.join(saved) or 'nothing'}")

    at.show({"saved": saved, "failures": failures}, show)
    for failure in failures:
        click.echo(failure, err=True)
    return FAILED if failures else 0


def _saved(client: Client, lab: str, node: "Node", lines: Mapping[str, str]) -> Mapping[str, str]:
    """The settings of a node that it writes itself, after it was told to; lines: with which it is told, by setting."""
    vm = client.vm(ids.project_id(lab), node.kind, ids.vm_id(lab, node.name))
    for line in dict.fromkeys(lines.values()):
        answer = client.answer(vm, line)
        if answer["ended_by"] != "prompt":
            raise ClientError(None, f"{line!r} was not answered: {answer['output'][-200:]!r}")
    shown = client.vm(vm.project_id, vm.kind, vm.vm_id).properties
    return {name: str(shown[name] or "").replace("\r", "") for name in lines if shown[name] or node.settings.get(name)}


def _put(lab: "LabFile", node: "Node", name: str, key: str, text: str) -> None:
    """Put a setting of a node into the file's document, as `key`."""
    from ruamel.yaml.scalarstring import LiteralScalarString

    assert lab.document is not None  # noqa: S101 - it was read
    tree = lab.document.tree["nodes"]
    if tree[node.name] is None:
        tree[node.name] = {}
    tree[node.name].pop(name, None)
    tree[node.name][key] = LiteralScalarString(text)
    if "\n" in text.rstrip() and hasattr(tree[node.name], "fa"):
        tree[node.name].fa.set_block_style()  # in braces it would be one long line


@click.command("export")
@click.argument("lab", shell_complete=complete_lab)
@click.argument("archive", type=click.Path(dir_okay=False), required=False)
@common
def export_(at: At, lab: str, archive: str | None) -> int:
    """Write a lab that is up, with its files, into ARCHIVE [default: LAB.zip], for `labplane import` elsewhere."""
    target = Path(archive or f"{lab}.zip")
    with at.client() as client:
        found = [project for project in client.projects() if lab in (project.name, project.project_id)]
        if len(found) != 1:
            raise ClientError(None, f"{len(found) or 'no'} labs are called {lab!r}; see `labplane ps`.")
        draft = target.with_name(f".{target.name}.new")
        try:
            with client.http.stream("GET", f"/v1/projects/{found[0].project_id}/export") as reply:
                if not reply.is_success:
                    reply.read()
                    raise ClientError(reply.status_code, str(reply.json()["message"]))
                with draft.open("wb") as file:
                    for piece in reply.iter_bytes():
                        file.write(piece)
            if not zipfile.is_zipfile(draft):
                raise ClientError(None, "The server broke off the export; its log says why.")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    at.show({"archive": str(target)}, lambda: click.echo(f"{lab} is in {target}"))
    return 0


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("lab", type=click.Path(dir_okay=False), required=False)
@common
def import_(at: At, file: Path, lab: str | None) -> int:
    """Take over a lab: an archive of `labplane export`, a .gns3project or .gns3 of GNS3, a file of containerlab.

    An archive of labplane becomes a lab on the server. From the others LAB is written [default: NAME.yaml], for
    `labplane up`; what has no place in it is named. Exit codes: 0 done, 1 it was refused, 2 the file is bad.
    """
    if zipfile.is_zipfile(file) and ARCHIVED in zipfile.ZipFile(file).namelist():
        return _unpack(at, file)
    from labplane_labs.foreign import take
    from labplane_labs.labfile import checked
    from labplane_labs.reading import Document

    schema = schema_of(at)
    taken = take(file, schema)
    text = _written(taken.data)
    checked(Document(lab or str(file), text), schema)
    target = Path(lab or f"{taken.data['name']}.yaml")
    try:
        with target.open("x") as out:
            out.write(text)
    except FileExistsError:
        raise ClientError(None, f"{target} is there already; name another file.") from None

    def show() -> None:
        click.echo(f"{target}: {len(taken.data['nodes'])} nodes, {len(taken.data['links'])} links")
        for sentence in taken.left_out:
            click.echo(f"left out: {sentence}")

    at.show({"file": str(target), "lab": taken.data, "left_out": taken.left_out}, show)
    return 0


def _unpack(at: At, file: Path) -> int:
    with at.client() as client:
        project = client.create_project()
        path = f"/v1/projects/{project.project_id}"
        reply = client.http.post(f"{path}/import", content=file.read_bytes(), timeout=None)
        if not reply.is_success:
            client.delete_project(project)
            raise ClientError(reply.status_code, str(reply.json()["message"]))
        shown: dict[str, Any] = reply.json()
    name = shown.get("name") or project.project_id
    at.show(shown, lambda: click.echo(f"{name} is there; `labplane ps` shows its nodes"))
    return 0


def _written(data: dict[str, Any]) -> str:
    """A lab file with that content; texts of several lines stand as such."""
    import io

    from ruamel.yaml.comments import CommentedSeq
    from ruamel.yaml.scalarstring import LiteralScalarString

    from labplane_labs.reading import yaml_of_labs

    for node in data["nodes"].values():
        if isinstance(node.get("startup"), str):
            node["startup"] = LiteralScalarString(node["startup"].replace("\r", ""))
    links = CommentedSeq()
    for ends in data["links"]:
        link = CommentedSeq(ends)
        link.fa.set_flow_style()
        links.append(link)
    written = io.StringIO()
    yaml_of_labs().dump({**data, "links": links}, written)
    return written.getvalue()
