"""The commands `graph`, `inventory`, `doctor` and `completion`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from labplane_labs import servers
from labplane_labs.commands.common import FAILED, At, common, complete_lab, find_nodes, schema_of, the_file


@click.command()
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option(
    "-f", "--format", "form", type=click.Choice(["svg", "mermaid", "dot"]), default="mermaid", show_default=True
)
@common
def graph(at: At, lab: str | None, form: str) -> int:
    """Draw a lab: that of a FILE, or one that is up, by its name.

    LAB is lab.yaml unless given. Exit codes: 0 done, 1 there is no such lab, 2 the file is bad.
    """
    from labplane_labs import picture
    from labplane_labs.labfile import load

    if lab is None or lab.endswith((".yaml", ".yml")):
        drawn = picture.of_file(load(the_file(lab), schema_of(at)))
    else:
        with at.client() as client:
            for project in client.projects():
                if lab in (project.name, project.project_id):
                    drawn = picture.of_topology(project.name or lab, client.topology(project))
                    break
            else:
                click.echo(f"No lab {lab!r} is up.", err=True)
                return FAILED
    text = picture.FORMS[form](drawn)
    at.show({"format": form, "text": text}, lambda: click.echo(text, nl=False))
    return 0


@click.command()
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option("--list", "everything", is_flag=True, help="As Ansible asks; it is what is printed anyway")
@click.option("--host", help="The variables of one host alone")
@common
def inventory(at: At, lab: str | None, everything: bool, host: str | None) -> int:
    """Print the nodes of a lab, or of all, as an inventory for Ansible: groups by lab and by kind."""
    del everything
    with at.client() as client:
        found = find_nodes(client, None, lab) if lab is not None else _all(client)
        server = client.http.base_url.host
    names = [str(node["name"]) for _, node in found]
    hosts: dict[str, Any] = {}
    groups: dict[str, list[str]] = {}
    for project, node in found:
        name = node["name"] if names.count(node["name"]) == 1 else f"{project.name}.{node['name']}"
        hosts[name] = {
            "ansible_host": server,
            "labplane_lab": project.name,
            "labplane_kind": node["kind"],
            "labplane_status": node["status"],
            "labplane_console": node["console"],
            "labplane_project_id": project.project_id,
            "labplane_vm_id": node["vm_id"],
        }
        for group in (f"lab_{project.name or project.project_id}", f"kind_{node['kind']}"):
            groups.setdefault("".join(c if c.isalnum() else "_" for c in group), []).append(name)
    whole = {
        "_meta": {"hostvars": hosts},
        "all": {"children": sorted(groups)},
        **{group: {"hosts": members} for group, members in groups.items()},
    }
    click.echo(json.dumps(whole if host is None else hosts.get(host, {}), indent=4, sort_keys=True))
    return 0


def _all(client: Any) -> list[tuple[Any, Any]]:
    return [(project, node) for project in client.projects() for node in client.topology(project)["nodes"]]


@click.command()
@common
def doctor(at: At) -> int:
    """Say what is missing for each kind of VM: at the server, or on this machine when none answers.

    Exit codes: 0 nothing is missing, 1 something is.
    """
    if at.url is not None or servers.answers(at.where):
        found = _examined(at)
    else:
        with servers.temporary() as server:
            found = _examined(At(server.url, None, at.output))

    def text() -> None:
        for row in found["kinds"]:
            click.echo(f"{row['kind']}: {row['message'] or 'ok'}")
        for plugin in found["plugins"]:
            click.echo(f"plugin {plugin['name']}: {plugin['error']}")
        for device, there in found["devices"].items():
            click.echo(f"{device}: {there}")

    at.show(found, text)
    return FAILED if found["plugins"] or any(row["message"] for row in found["kinds"]) else 0


def _examined(at: At) -> dict[str, Any]:
    with at.client() as client:
        kinds = client.call("GET", "/v1/kinds")
        failed = [
            {"name": plugin["name"], "error": plugin["error"]}
            for plugin in client.plugins()
            if plugin["state"] == "failed"
        ]
        here = client.http.base_url.host in ("127.0.0.1", "localhost")
    devices = {"/dev/kvm": "for QEMU at full speed", "/dev/net/tun": "for links to tap devices"} if here else {}
    return {"kinds": kinds, "plugins": failed, "devices": {name: _device(name, use) for name, use in devices.items()}}


def _device(name: str, use: str) -> str:
    if not Path(name).exists():
        return f"is not there ({use})"
    return "ok" if os.access(name, os.R_OK | os.W_OK) else f"this user may not open it ({use})"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), required=False)
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """Print what makes SHELL complete commands, labs and nodes: eval "$(labplane completion bash)"."""
    from click.shell_completion import get_completion_class

    wanted = shell or Path(os.environ.get("SHELL", "bash")).name
    found = get_completion_class(wanted)
    if found is None:
        click.echo(f"{wanted} is none of bash, zsh and fish; name one.", err=True)
        sys.exit(2)
    click.echo(found(context.find_root().command, {}, "labplane", "_LABPLANE_COMPLETE").source())
