"""`POST /v1/labs`: the lab of a file, made by the server itself."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from labplane_client import Client
from labplane_labs import ids
from labs_at import Run
from support import Server

LAB = """\
# Two PCs on a switch, and a way out.
name: made
defaults: {kind: vpcs}
nodes:
  sw: {kind: switch, ports: 4}
  pc1: {startup: ip 10.0.0.1/24, position: [10, 20], notes: the first}
  pc2:
    startup: [ip 10.0.0.2/24, set echo 35]
links:
  - [pc1, sw]
  - {endpoints: ["sw:3", pc2]}
  - {endpoints: ["sw:1"], nio: {type: nio_udp, lport: LPORT, rhost: 127.0.0.1, rport: 9}}
tests:
  - {node: pc1, run: ping 10.0.0.2 -c 1, expect: ttl=64}
"""


def made(server: Server, text: str | bytes, status: int) -> Any:
    reply = server.http.post("/v1/labs", content=text, headers={"Content-Type": "text/yaml"})
    assert reply.status_code == status, reply.text
    return reply.json()


def test_the_lab_is_the_one_that_up_would_make_and_up_starts_it(
    server: Server, client: Client, run: Run, tmp_path: Path
) -> None:
    text = LAB.replace("LPORT", str(client.udp_port()))
    project = made(server, text, 201)
    assert project == server.http.get(f"/v1/projects/{ids.project_id('made')}").json()
    topology = client.topology(project["project_id"])
    nodes = {node["name"]: node for node in topology["nodes"]}
    assert {(name, node["kind"], node["status"]) for name, node in nodes.items()} == {
        ("sw", "switch", "stopped"),
        ("pc1", "vpcs", "stopped"),
        ("pc2", "vpcs", "stopped"),
    }
    assert [nodes["pc1"][key] for key in ("x", "y", "notes")] == [10, 20, "the first"]
    ends = [sorted((end["vm_id"], end["port"]) for end in link["ends"]) for link in topology["links"]]
    pc1, pc2, sw = (nodes[name]["vm_id"] for name in ("pc1", "pc2", "sw"))
    expected = [[(pc1, 0), (sw, 0)], [(pc2, 0), (sw, 3)], [(sw, 1)]]
    assert sorted(ends) == sorted(sorted(pair) for pair in expected)
    assert client.vm(project["project_id"], "vpcs", pc2).properties["startup_script"] == "ip 10.0.0.2/24\nset echo 35\n"

    (tmp_path / "lab.yaml").write_text(text)
    done = json.loads(run("up", "-o", "json", "--wait").stdout)
    assert {step["what"] for outcome in done for step in outcome["steps"]} == {"started"}
    run("test")

    again = made(server, text, 409)["message"]
    assert again.startswith("lab:2:7: the lab 'made' is there already"), again
    run("down", "--keep-files")
    assert "files were kept" in made(server, text, 409)["message"]
    client.create_project(project_id=project["project_id"])  # opened again, so that it goes with the test


def test_json_will_do_and_two_requests_for_one_lab_make_one(server: Server, client: Client) -> None:
    text = json.dumps({"name": "twice", "nodes": {"pc": {"kind": "vpcs"}}})

    async def both() -> list[int]:
        async with httpx2.AsyncClient(base_url=server.url) as http:
            replies = await asyncio.gather(*(http.post("/v1/labs", content=text) for _ in range(2)))
            return [reply.status_code for reply in replies]

    assert sorted(asyncio.run(both())) == [201, 409]
    assert [project.name for project in client.projects()] == ["twice"]


@pytest.mark.parametrize(
    ("old", "new", "status", "wanted"),
    [
        ("name: made", "name: [made", 400, r"lab:\d+:\d+: this is no YAML"),
        ("ports: 4", "ports: 400", 400, r"lab:5:29: 400 is greater"),
        ("[pc1, sw]", "[pc3, sw]", 400, r"lab:10:5: there is no node 'pc3'"),
        ("kind: switch", "kind: hub", 400, r"lab:5:14: there is no kind 'hub'"),
        ("sw:3", "sw:9", 409, r"lab:11:5: .*sw has no port '9'"),
        ("ports: 4", "ports: 1", 409, r"lab:\d+:5: .*sw has no port"),
        ("rport: 9", "rport: 9, filter: 3", 400, r"lab:12:5: .*filter"),
        ("pc2:\n", "pc2:\n    console: TAKEN\n", 409, r"lab:7:3: .*TAKEN"),
    ],
)
def test_a_bad_file_is_refused_with_the_place_and_leaves_nothing(
    server: Server, client: Client, old: str, new: str, status: int, wanted: str
) -> None:
    other = client.create_project()
    console = str(client.create_vm(other, "vpcs", "pc").console)
    lport = client.udp_port(other)
    ports = server.http.get("/v1/status").json()["ports"]
    text = LAB.replace(old, new).replace("LPORT", str(lport)).replace("TAKEN", console)
    message = made(server, text, status)["message"]
    assert re.match(wanted.replace("TAKEN", console), message), message
    assert [project.project_id for project in client.projects()] == [other.project_id]
    assert server.http.get("/v1/status").json()["ports"] == ports


def test_what_is_no_text_or_too_long_is_refused(server: Server) -> None:
    assert made(server, b"name: \xff", 400)["message"] == "lab: is not in UTF-8."
    assert made(server, b"", 400)["message"].startswith("lab:")
    made(server, b"#" * (4 * 1024 * 1024 + 1), 413)
