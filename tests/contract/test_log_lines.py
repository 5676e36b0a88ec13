"""The log has a line for what is done to each VM: to which, for whom, how long it took."""

import json
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal
from machines import linked
from support import running


def deeds(log: str) -> list[dict[str, Any]]:
    return [told for told in map(json.loads, log.splitlines()) if "action" in told]


def test_each_deed_is_a_json_line_with_all_its_particulars(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--log-format", "json") as server:
        project = server.project()
        vm = linked(server, project)
        for action in ("start", "start", "reload", "stop", "stop"):
            nothing(server.http.post(f"{vm}/{action}", json={}))
        nothing(server.http.delete(vm))
        unlinked = server.vm(project, "PC2")
        reason = refusal(server.http.post(f"{unlinked}/start", json={}), 409)
        nothing(server.http.post(f"{project}/close"))
        server.stop()
        told = deeds(server.log)
    done = [(one["name"], one["action"], one["outcome"]) for one in told]
    first = [("PC", action, "done") for action in ("create", "start", "reload", "stop", "delete")]
    assert done == [*first, ("PC2", "create", "done"), ("PC2", "start", "refused"), ("PC2", "close", "done")]
    assert {one["client"] for one in told} == {"127.0.0.1"}
    assert {one["kind"] for one in told} == {"vpcs"}
    assert {one["project_id"] for one in told} == {project.rsplit("/", 1)[1]}
    assert {one["vm_id"] for one in told} == {path.rsplit("/", 1)[1] for path in (vm, unlinked)}
    assert all(0 <= one["seconds"] < 60 for one in told)
    assert told[1]["seconds"] > told[0]["seconds"] / 1000, "a start has a program to start"
    (sentence,) = [one["message"] for one in told if one["outcome"] == "refused"]
    assert sentence.endswith(f": {reason}")


def test_each_deed_is_a_line_of_text_that_names_the_client(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        vm = server.vm(server.project(), "A B")
        server.stop()
        (line,) = [line for line in server.log.splitlines() if "create done after" in line]
    assert f"INFO labplane: vpcs 'A B' ({vm.rsplit('/', 1)[1]}): create done after " in line
    assert line.endswith(" ms [127.0.0.1]")


@pytest.mark.parametrize("form", ["text", "json"])
def test_requests_are_logged_in_the_same_form(form: str, tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--access-log", "--log-format", form) as server:
        server.http.get("/v1/plugins")
        server.stop()
        (line,) = {line for line in server.log.splitlines() if "/v1/plugins HTTP" in line}
    if form == "json":
        assert json.loads(line)["logger"] == "uvicorn.access"
    else:
        assert " INFO uvicorn.access: " in line
