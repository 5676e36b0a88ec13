"""``labplane up`` and ``down`` with real VPCS: what is missing is made, what differs is changed, the rest stays."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from labplane_client import VM, Client
from labplane_labs import ids
from labs_at import Run, shown
from support import Server, free_range, port_is_free, until

LAB = """\
name: two
defaults: {kind: vpcs}
nodes:
  pc1: {startup: "ip 10.0.0.1/24", position: [10, 20]}
  pc2: {startup: "ip 10.0.0.2/24"}
links:
  - [pc1, pc2]
"""
STAR = """\
name: star
defaults: {kind: vpcs}
nodes:
  sw: {kind: switch, ports: 4}
  pc1: {}
  pc2: {}
links:
  - [pc1, sw]
  - [pc2, "sw:3"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "lab.yaml").write_text(LAB)
    return tmp_path / "lab.yaml"


def steps(run: Run, *options: str, code: int = 0) -> list[tuple[str, str]]:
    (outcome,) = shown(run("up", "-o", "json", *options, code=code))
    return sorted((step["what"], step["to"]) for step in outcome["steps"])


def node(client: Client, lab: str, name: str, kind: str = "vpcs") -> VM:
    return client.vm(ids.project_id(lab), kind, ids.vm_id(lab, name))


def links(client: Client, lab: str) -> Any:
    return client.topology(ids.project_id(lab))["links"]


@pytest.mark.usefixtures("file")
def test_a_lab_comes_up_and_a_ping_comes_back(run: Run, client: Client) -> None:
    assert steps(run, "--wait") == [
        ("created", "pc1"),
        ("created", "pc2"),
        ("linked", "pc1 -- pc2"),
        ("placed", "pc1"),
        ("started", "pc1"),
        ("started", "pc2"),
    ]
    assert "icmp_seq=1 ttl=64" in client.answer(node(client, "two", "pc1"), "ping 10.0.0.2 -c 1")["output"]
    assert client.topology(ids.project_id("two"))["nodes"][0]["x"] in (10, None)


@pytest.mark.usefixtures("file")
def test_a_lab_that_is_up_stays_as_it_is(run: Run, server: Server) -> None:
    run("up")
    before = server.children()
    assert steps(run) == []
    assert "two is up, as it was before" in run("up").output
    assert server.children() == before


def test_what_is_missing_comes_back_and_the_rest_stays(run: Run, client: Client, server: Server, file: Path) -> None:
    file.write_text(STAR)
    run("up")
    client.delete_vm(node(client, "star", "pc1"))
    client.stop(node(client, "star", "pc2"))
    assert steps(run) == [
        ("created", "pc1"),
        ("linked", "pc1 -- sw"),
        ("started", "pc1"),
        ("started", "pc2"),
        ("unlinked", "sw:eth0"),
    ]
    assert [len(link["ends"]) for link in links(client, "star")] == [2, 2]
    assert steps(run) == []


def test_what_differs_is_changed_and_restarted_if_it_has_to_be(run: Run, client: Client, file: Path) -> None:
    run("up", "--wait")
    other = node(client, "two", "pc2")
    file.write_text(LAB.replace("10.0.0.1", "10.0.0.7").replace("[10, 20]", "[10, 30]"))
    assert steps(run, "--wait") == [("changed", "pc1 (startup_script)"), ("placed", "pc1"), ("restarted", "pc1")]
    assert "10.0.0.7" in client.answer(node(client, "two", "pc1"), "show ip")["output"]
    assert node(client, "two", "pc2") == other


def test_a_script_that_names_its_node_is_not_another_one_each_time(run: Run, file: Path) -> None:
    file.write_text(LAB.replace("ip 10.0.0.1/24", "set pcname %h"))
    run("up")
    assert steps(run) == []


def test_a_node_of_another_kind_is_made_anew(run: Run, client: Client, file: Path) -> None:
    file.write_text(STAR.replace("pc2: {}", "pc2: {kind: switch}"))
    run("up")
    file.write_text(STAR)
    done = steps(run)
    assert ("removed", "pc2 (switch)") in done
    assert ("created", "pc2") in done
    assert node(client, "star", "pc2").status == "started"


def test_a_link_that_leads_elsewhere_is_put_right(run: Run, client: Client, file: Path) -> None:
    file.write_text(STAR)
    run("up")
    file.write_text(STAR.replace("sw:3", "sw:2"))
    assert steps(run) == [("linked", "pc2 -- sw:2"), ("restarted", "pc2"), ("unlinked", "pc2:eth0 -- sw:eth3")]
    assert steps(run) == []


def test_what_is_not_in_the_file_stays_unless_it_is_pruned(run: Run, client: Client, file: Path) -> None:
    file.write_text(STAR)
    run("up")
    guest = client.create_vm(ids.project_id("star"), "vpcs", "guest")
    client.call(
        "POST",
        f"/v1/projects/{ids.project_id('star')}/links",
        {"ends": [{"vm_id": guest.vm_id}, {"vm_id": ids.vm_id("star", "sw")}]},
    )
    (outcome,) = shown(run("up", "-o", "json"))
    assert (outcome["steps"], outcome["extra"]) == ([], ["guest"])
    assert steps(run, "--prune") == [("removed", "guest (vpcs)"), ("unlinked", "guest:eth0 -- sw:eth1")]
    assert steps(run, "--prune") == []


def test_each_copy_is_a_lab_of_its_own(run: Run, client: Client, file: Path, server: Server) -> None:
    file.write_text(LAB)
    run("up", "--count", "3", "--wait")
    assert sorted(project.name or "" for project in client.projects()) == ["two-01", "two-02", "two-03"]
    nodes = [vm for project in client.projects() for vm in client.vms(project, "vpcs")]
    assert [vm.status for vm in nodes] == ["started"] * 6
    assert "icmp_seq=1 ttl=64" in client.answer(node(client, "two-03", "pc1"), "ping 10.0.0.2 -c 1")["output"]
    assert run("down").output.splitlines() == ["two-01 is down", "two-02 is down", "two-03 is down"]
    assert server.children() == []


@pytest.mark.usefixtures("file")
def test_a_lab_that_is_down_leaves_nothing(run: Run, client: Client, server: Server) -> None:
    run("up")
    path = Path(client.project(ids.project_id("two")).path)
    run("down")
    assert client.projects() == []
    assert server.children() == []
    assert not path.exists()
    assert run("down").output == "two is not up\n"


@pytest.mark.usefixtures("file")
def test_files_that_are_kept_are_there_at_the_next_up(run: Run, client: Client) -> None:
    run("up")
    path = Path(client.project(ids.project_id("two")).path)
    (path / "notes.txt").write_text("mind the gap")
    run("down", "--keep-files")
    assert (path / "notes.txt").exists()
    run("up")
    assert (path / "notes.txt").read_text() == "mind the gap"


@pytest.mark.usefixtures("file")
def test_other_projects_are_not_ended(run: Run, client: Client) -> None:
    """Not even those of a like name, nor one of the same name that no file made."""
    for name in ("two-pcs", "two", "two-01"):
        client.create_project(name=name)
    run("up")
    run("down", "--all")
    assert sorted(project.name or "" for project in client.projects()) == ["two", "two-01", "two-pcs"]


def test_a_node_that_cannot_start_fails_and_the_others_come_up(run: Run, client: Client, file: Path) -> None:
    """Exit code 1: a VPCS without a link."""
    file.write_text(LAB + "  - [pc1, pc2]\n")
    done = run("up", code=1)
    assert "has no free port" in done.stderr
    file.write_text(LAB.replace("links:", "  pc3: {}\nlinks:"))
    done = run("up", code=1)
    assert "pc3: vpcs 'pc3'" in done.stderr
    assert "is not linked to anything" in done.stderr
    assert node(client, "two", "pc1").status == "started"


def test_a_bad_file_changes_nothing(run: Run, client: Client, file: Path) -> None:
    """Exit code 2."""
    file.write_text(LAB + "  - [pc1, pc9]\n")
    assert run("up", code=2).stderr.startswith("lab.yaml:8:5: there is no node 'pc9'")
    (problem,) = shown(run("up", "-o", "json", code=2))["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("lab.yaml", 8, 5)
    assert client.projects() == []


def test_a_lab_that_takes_too_long_is_given_up(run: Run, file: Path) -> None:
    """Exit code 3: a script that sleeps keeps its node from the prompt."""
    file.write_text(LAB.replace("ip 10.0.0.1/24", "sleep 60"))
    assert "the wait for a prompt was not finished" in run("up", "--wait", "--timeout", "3", code=3).stderr


def test_a_link_that_leads_out_of_the_lab_is_plugged_in_once(run: Run, client: Client, file: Path) -> None:
    """With an NIO of the file."""
    nio = "{type: nio_udp, lport: 4711, rhost: 192.0.2.7, rport: 9}"
    file.write_text(f"name: t\nnodes: {{pc: {{kind: vpcs}}}}\nlinks:\n  - {{endpoints: [pc], nio: {nio}}}")
    assert ("linked", "pc -- nio_udp") in steps(run)
    (made,) = links(client, "t")
    assert made["leads_to"] == "192.0.2.7:9"
    assert steps(run) == []


def test_a_server_is_started_in_the_background_and_ended_with_the_last_lab(
    tmp_path: Path,
) -> None:
    """Where none answers; with the directories and the port of the user."""
    (tmp_path / "lab.yaml").write_text(LAB)
    port = free_range(1).split("-")[0]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LABPLANE_")}
    for name in ("STATE", "DATA", "CONFIG", "CACHE"):
        environment[f"XDG_{name}_HOME"] = str(tmp_path / name.lower())
    environment |= {
        "LABPLANE_PORT": port,
        "LABPLANE_CONSOLE_PORTS": free_range(20),
        "LABPLANE_UDP_PORTS": free_range(20),
    }

    def labplane(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "labplane", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    assert "`labplane up` starts one" in labplane("ps").stderr
    try:
        with ThreadPoolExecutor() as side_by_side:  # one of their servers finds the port taken
            both = list(side_by_side.map(labplane, ["up", "up"]))
        assert [done.returncode for done in both] == [0, 0], both
        assert all("A server was started" in done.stderr for done in both)
        again = labplane("up")
        assert (again.returncode, again.stderr, again.stdout) == (0, "", "two is up, as it was before\n")
    finally:
        done = labplane("down", "--all")
    assert done.stdout == "two is down\nthe server that was started in the background has ended\n"
    until(lambda: port_is_free(int(port)), "the server's port")
    assert labplane("down", "--all").stdout == "no lab is up\n"
