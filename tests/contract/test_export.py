"""F-7, F-8: a lab as an archive."""

import pytest

from archives import SCRIPTS, contents, description_in, export, open_files, path_of
from expect import nothing
from machines import vms
from projects import MARKER, create
from support import Server, until
from wire import Wire


def test_an_archive_is_a_zip_with_the_projects_files_and_its_description(server: Server, lab: str) -> None:
    """F-7, F-8: as clients of 1.5 expect it."""
    reply = server.http.get(f"{lab}/export?include_images=0")
    assert reply.headers["content-type"] == "application/gns3project"
    assert reply.headers["content-disposition"] == 'attachment; filename="two PCs.gns3project"'
    files, description = contents(reply.content), description_in(reply.content)
    del files["labplane.json"]
    made = vms(server, lab)
    scripts = {f"project-files/vpcs/{vm['vm_id']}/startup.vpc": SCRIPTS[vm["name"]].encode() for vm in made}
    assert files == {"notes.txt": b"mind the gap", **scripts}
    assert [description[key] for key in ("format", "version", "name")] == ["labplane", 1, "two PCs"]
    for vm, one in zip(made, description["vms"], strict=True):
        assert (one["kind"], one["vm_id"], one["name"]) == ("vpcs", vm["vm_id"], vm["name"])
        assert (one["console"], one["settings"]) == (
            vm["console"],
            {"engine": "vpcs", "startup_script": SCRIPTS[vm["name"]]},
        )
        (link,) = one["links"]
        assert (link["adapter"], link["port"], link["nio"]["type"]) == (0, 0, "nio_udp")


def test_what_only_this_run_made_is_not_exported(server: Server) -> None:
    """F-8: logs, captures, snapshots, the mark of a temporary project, links that lead out."""
    project = server.project(temporary=True)
    root = path_of(server, project)
    (root / "project-files" / "captures").mkdir(parents=True)
    for name in ("vpcs.log", "vpcs.log.1", "a_log.txt", ".DS_Store", "labplane.json", "project-files/captures/x.pcap"):
        (root / name).write_text("x")
    (root / "out").symlink_to("/etc/passwd")
    (root / "kept.logs").write_text("x")
    assert (root / MARKER).exists()
    assert contents(export(server, project)).keys() == {"labplane.json", "kept.logs"}
    nothing(server.http.delete(project))


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ('a "b" ü/\\', "filename*=UTF-8''a%20%22b%22%20%C3%BC__.gns3project"),
        (None, 'filename="{}.gns3project"'),
    ],
)
def test_any_project_name_makes_a_header(server: Server, name: str | None, header: str) -> None:
    """F-7."""
    made = create(server, name=name)
    reply = server.http.get(f"/v1/projects/{made['project_id']}/export")
    assert reply.headers["content-disposition"] == "attachment; " + header.format(made["project_id"])
    with Wire(server.port) as wire:
        head = wire.call("HEAD", f"/v1/projects/{made['project_id']}/export")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-disposition"] == reply.headers["content-disposition"]


def test_an_export_that_nobody_takes_ends(server: Server) -> None:
    """F-7: a client that hangs up leaves no file open."""
    project = server.project()
    with (path_of(server, project) / "big").open("wb") as file:
        file.truncate(1 << 32)
    with Wire(server.port) as wire:
        wire.head("GET", f"{project}/export")
        assert wire.socket.recv(1000)
        until(lambda: any(link.endswith("/big") for link in open_files(server)), "the export to begin")
    until(lambda: not any(link.endswith("/big") for link in open_files(server)), "the export to end")
    nothing(server.http.delete(project))
