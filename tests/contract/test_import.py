"""F-12: a lab leaves one server as an archive and is the same on another."""

import json
import socket
from itertools import islice
from pathlib import Path
from typing import Any

from archives import SCRIPTS, archive, bring, contents, described, description_in, everything, export, path_of, plugged
from expect import nothing, shown
from machines import vms
from projects import MARKER
from support import Server, Viewer, port_is_free


def test_a_lab_is_the_same_on_another_server(server: Server, other: Server, lab: str, other_project: str) -> None:
    """F-12: ids, names, scripts, links and files; it starts, and its machines reach each other."""
    before = vms(server, lab)
    project = bring(other, other_project, export(server, lab))
    assert project == shown(other.http.get(other_project))
    assert project["name"] == "two PCs"
    after = vms(other, other_project)
    for old, new in zip(before, after, strict=True):
        same = ("name", "vm_id", "startup_script", "startup_script_path", "status")
        assert [new[key] for key in same] == [old[key] for key in same]
    root = path_of(other, other_project)
    kept = {name: content for name, content in everything(path_of(server, lab)).items() if content is not None}
    assert {name: content for name, content in everything(root).items() if content is not None} == kept
    for vm in after:
        nothing(other.http.post(f"{other_project}/vpcs/vms/{vm['vm_id']}/start"))
    with Viewer(after[0]["console"]) as one, Viewer(after[1]["console"]) as two:
        one.until(b"192.168.1.1")
        one.until(b"PC1> ")
        two.until(b"PC2> ")
        two.type("ping 192.168.1.1 -c 2")
        two.until(b"192.168.1.1 icmp_seq=1")


def test_what_is_taken_is_given_anew(server: Server, lab: str) -> None:
    """F-12: on the same server no id, console or UDP port can be the same, and the links lead to their own lab."""
    data = export(server, lab)
    labs = [lab, server.project(), server.project(name="mine")]
    for project in labs[1:]:
        bring(server, project, data)
    machines = [vm for project in labs for vm in vms(server, project)]
    assert len({vm["vm_id"] for vm in machines}) == len({vm["console"] for vm in machines}) == 6
    assert [vm["name"] for vm in machines] == ["PC1", "PC2"] * 3
    assert [vm["startup_script"] for vm in machines] == list(SCRIPTS.values()) * 3
    assert [shown(server.http.get(project))["name"] for project in labs] == ["two PCs", "two PCs", "mine"]
    for vm in machines:
        assert Path(vm["vm_directory"]).name == vm["vm_id"]
        assert (Path(vm["vm_directory"]) / "startup.vpc").read_bytes() == SCRIPTS[vm["name"]].encode()
    ends = []
    for project in labs:
        one, two = (vm["links"][0]["nio"] for vm in description_in(export(server, project))["vms"])
        assert (one["lport"], one["rport"]) == (two["rport"], two["lport"])
        ends += [one["lport"], two["lport"]]
    assert len(set(ends)) == 6
    for project in labs[1:]:
        nothing(server.http.delete(project))


def test_ids_and_ports_that_are_free_again_are_kept(server: Server) -> None:
    """F-12: an archive is a way back."""
    project = server.project()
    server.linked_pair(project)
    before, data = vms(server, project), export(server, project)
    nothing(server.http.delete(project))
    again = server.project()
    bring(server, again, data)
    for old, new in zip(before, vms(server, again), strict=True):
        assert (new["vm_id"], new["console"]) == (old["vm_id"], old["console"])
    assert description_in(export(server, again)) == description_in(data)
    nothing(server.http.delete(again))


def test_the_id_of_a_vm_of_a_closed_project_is_taken(server: Server) -> None:
    """F-12: or that project could not be opened again as it was."""
    project = server.project()
    vm_id = server.vm(project).rpartition("/")[2]
    data = export(server, project)
    nothing(server.http.post(f"{project}/close"))
    again = server.project()
    bring(server, again, data)
    assert vms(server, again)[0]["vm_id"] != vm_id
    nothing(server.http.delete(again))


def test_a_script_stays_to_the_byte(server: Server, other: Server, other_project: str) -> None:
    """F-12, M-8: also what is no UTF-8, and whatever %h there is in it."""
    project = server.project()
    vm = server.vm(project)
    script = b"echo %h \xff\r\n"
    path = f"{project}/files/project-files/vpcs/{vm.rpartition('/')[2]}/startup.vpc"
    nothing(server.http.post(path, content=script), 200)
    bring(other, other_project, export(server, project))
    assert (Path(vms(other, other_project)[0]["vm_directory"]) / "startup.vpc").read_bytes() == script
    nothing(server.http.delete(project))


def test_a_script_that_is_only_described_is_written(other: Server, other_project: str) -> None:
    """F-8: the description alone makes the lab again."""
    bring(other, other_project, archive({}, described({"settings": {"startup_script": "show ip"}}, {"name": "B"})))
    assert [vm["startup_script"] for vm in vms(other, other_project)] == ["show ip", None]


def test_a_running_lab_is_exported_as_it_is(server: Server, other: Server, lab: str, other_project: str) -> None:
    """F-8."""
    for vm in vms(server, lab):
        nothing(server.http.post(f"{lab}/vpcs/vms/{vm['vm_id']}/start"))
    bring(other, other_project, export(server, lab))
    assert [vm["status"] for vm in vms(other, other_project)] == ["stopped", "stopped"]


def test_consoles_and_lports_of_other_ranges_are_kept(other: Server, other_project: str) -> None:
    """F-12, M-4, U-6: but not a privileged one."""
    first, second = islice(filter(port_is_free, range(5001, 10000)), 2)
    lport = next(number for number in range(35000, 40000) if port_is_free(number, socket.SOCK_DGRAM))
    link = plugged(type="nio_udp", lport=lport, rhost="192.0.2.7", rport=4444)
    machines = ({"console": second, **link}, {"console": first}, {"console": 1023})
    bring(other, other_project, archive({}, described(*machines)))
    assert [vm["console"] for vm in vms(other, other_project)] == [second, first, other.consoles[0]]
    assert description_in(export(other, other_project))["vms"][0]["links"][0]["nio"]["lport"] == lport


def test_a_link_to_elsewhere_keeps_its_far_end(other: Server, other_project: str) -> None:
    """F-12."""
    udp: dict[str, Any] = {"type": "nio_udp", "lport": other.udp[0] + 5, "rhost": "192.0.2.7", "rport": 4444}
    tap: dict[str, Any] = {"type": "nio_tap", "tap_device": "tap7"}
    bring(other, other_project, archive({}, described(plugged(**udp), plugged(**tap))))
    one, two = description_in(export(other, other_project))["vms"]
    assert (one["links"][0]["nio"], two["links"][0]["nio"]) == (udp, tap)


def test_an_archive_of_a_gns3_server_brings_its_files(other: Server, other_project: str) -> None:
    """F-12: and its topology file becomes that of this project, under the name that clients look for."""
    project_id = other_project.rpartition("/")[2]
    shown(other.http.put(other_project, json={"name": "renamed"}))
    topology = {"name": "old", "project_id": "x", "topology": {"nodes": [{"id": 1, "server_id": 7}]}}
    data = archive({"project.gns3": json.dumps(topology), "project-files/vpcs/x/startup.vpc": "show", MARKER: "1"})
    reply = other.http.post(
        f"{other_project}/import?gns3vm=1", content=data, headers={"Content-Type": "application/json"}
    )
    assert shown(reply, 201)["temporary"] is False
    root = path_of(other, other_project)
    assert sorted(path.name for path in root.iterdir()) == ["project-files", "renamed.gns3"]
    assert json.loads((root / "renamed.gns3").read_text()) == {
        "name": "renamed",
        "project_id": project_id,
        "topology": {"nodes": [{"id": 1, "server_id": 1}], "servers": [{"id": 1, "local": True, "vm": False}]},
    }
    found = contents(export(other, other_project))
    assert found.keys() == {"labplane.json", "project.gns3", "project-files/vpcs/x/startup.vpc"}
    assert json.loads(found["project.gns3"])["name"] == "renamed"


def test_a_topology_follows_the_new_ids(server: Server, lab: str) -> None:
    """F-12."""
    topology = {"topology": {"nodes": [{"vm_id": vm["vm_id"]} for vm in vms(server, lab)]}}
    nothing(server.http.post(f"{lab}/files/two PCs.gns3", content=json.dumps(topology).encode()), 200)
    again = server.project(name="a/b")
    bring(server, again, export(server, lab))
    nodes = json.loads((path_of(server, again) / "project.gns3").read_text())["topology"]["nodes"]
    assert [node["vm_id"] for node in nodes] == [vm["vm_id"] for vm in vms(server, again)]
    nothing(server.http.delete(again))


def test_a_temporary_project_stays_temporary(other: Server) -> None:
    """F-11: the mark is the server's, not the archive's."""
    project = other.project(temporary=True)
    assert bring(other, project, archive({"a": "x"}))["temporary"] is True
    assert {path.name for path in path_of(other, project).iterdir()} == {"a", MARKER}
    nothing(other.http.delete(project))


def test_directories_and_modes_travel_in_an_archive(server: Server, other: Server, other_project: str) -> None:
    """F-12."""
    project = server.project()
    root = path_of(server, project)
    (root / "tool").write_text("#!/bin/sh\n")
    (root / "tool").chmod(0o755)
    bring(other, other_project, export(server, project))
    bring(other, other_project, archive({"empty/": "", "deep/empty/": ""}))
    assert (path_of(other, other_project) / "tool").stat().st_mode & 0o111 == 0o111
    assert everything(path_of(other, other_project)).keys() == {"tool", "empty", "deep", "deep/empty"}
    nothing(server.http.delete(project))
