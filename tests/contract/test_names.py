"""Whatever name something is given is data: no shell, no option, no path, no format and no header is made of it."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from archives import path_of
from expect import nothing, refusal, shown
from machines import directory, linked, show, start
from support import Server

NAMES = [
    "; touch touched",
    "$(touch touched)",
    "`touch touched`",
    "| touch touched &",
    "-p",
    "--help",
    "-i 9",
    "../..",
    "../../../../touched",
    "/touched",
    "a/b",
    ".",
    "..",
    "~root",
    "a\nsave touched",
    "a\r\nX-Injected: 1",
    "' \" \\",
    "%s%n%x",
    "{0.__class__}",
    "${HOME}",
    "<script>",
    "\u202egnp.exe",
    "\U0001f600",
    "x" * 1000,
]
CONTROLS = ["a\0b", "\0", "a\x1b]0;x\x07"]


def outside(server: Server, name: str) -> set[str]:
    """What there is that `name` could have made: around the projects, where the server was started, and at the root."""
    there = (*os.listdir(server.projects.parent), *os.listdir(), *os.listdir("/"))
    return {entry for entry in there if entry in name}


def arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode().split("\0")


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_of_any_name_runs_the_same_command_in_a_directory_of_its_id(
    server: Server, project: str, name: str
) -> None:
    """A name may be refused; one that is taken changes nothing but what is shown."""
    before = outside(server, name)
    made = server.http.post(f"{project}/vpcs/vms", json={"name": name, "engine": "vpcs"})
    if made.status_code == 400:
        refusal(made, 400)
        assert shown(server.http.get(f"{project}/vpcs/vms")) == []
        return
    assert shown(made, 201)["name"] == name
    assert "x-injected" not in made.headers
    vm = f"{project}/vpcs/vms/{made.json()['vm_id']}"
    port = shown(server.http.post(f"{project}/ports/udp"), 201)["udp_port"]
    assert server.link(vm, port, 9).status_code == 201
    pid = start(server, vm)
    command = arguments(pid)
    found = show(server, vm)
    twin = arguments(start(server, linked(server, project, name="PC")))
    assert len(command) == len(twin)
    assert [word for word in command if not word.isdigit()] == [word for word in twin if not word.isdigit()]
    assert directory(server, vm) == path_of(server, project) / "project-files" / "vpcs" / found["vm_id"]
    assert outside(server, name) == before
    assert not list(server.projects.rglob("*touched*"))


@pytest.mark.parametrize("name", NAMES + CONTROLS)
def test_a_project_of_any_name_is_in_a_directory_of_its_id(server: Server, name: str) -> None:
    before = outside(server, name)
    made = server.http.post("/v1/projects", json={"name": name})
    if made.status_code == 400:
        refusal(made, 400)
    else:
        found = shown(made, 201)
        assert found["name"] == name
        assert Path(found["path"]) == server.projects / found["project_id"]
        reply = server.http.get(f"/v1/projects/{found['project_id']}/export")
        assert reply.status_code == 200
        assert "\n" not in reply.headers.get("content-disposition", "")
        nothing(server.http.delete(f"/v1/projects/{found['project_id']}"))
    assert outside(server, name) == before


@pytest.mark.parametrize("name", NAMES + CONTROLS)
def test_a_file_of_any_name_is_in_its_project_or_refused(server: Server, project: str, name: str) -> None:
    before = outside(server, name)
    reply = server.http.post(f"{project}/files/{quote(name, safe='')}", content=b"x")
    root = path_of(server, project)
    there = [path for path in root.rglob("*") if path.is_file()]
    if reply.status_code == 200:
        assert [path.read_bytes() for path in there] == [b"x"]
        assert server.http.get(f"{project}/files/{quote(name, safe='')}").content == b"x"
    else:
        assert 400 <= reply.status_code < 500, reply.text
        assert there == []
    assert outside(server, name) == before


@pytest.mark.parametrize("what", ["name", "startup_script"])
def test_a_megabyte_of_a_name_harms_nobody(server: Server, project: str, what: str) -> None:
    reply = server.http.post(f"{project}/vpcs/vms", json={"name": "PC", what: "x" * (1 << 20)})
    assert reply.status_code in (201, 400, 413)
    assert server.http.get("/v1/version").status_code == 200
