"""Section 2 of docs/api.md: errors, ids, and the order in which a request is checked."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from expect import nothing, refusal, shown
from support import Server
from wire import Wire


@pytest.fixture
def vm(server: Server, project: str) -> str:
    """A VM without a link."""
    return server.vm(project)


def test_the_body_of_a_bad_request_is_not_echoed(server: Server, project: str) -> None:
    """E-1, O-9."""
    secret = "s3cret" * 50
    for body in ({"name": secret, "wrong": secret}, {"startup_script": secret}, {"name": "x", "console": secret}):
        reply = server.http.post(f"{project}/vpcs/vms", json=body)
        refusal(reply, 400)
        assert secret not in reply.text


def test_a_directory_in_the_place_of_a_script_is_no_script(server: Server, project: str) -> None:
    """E-2, B-16; and the VM's lock is free again (L-4)."""
    vm = server.vm(project, startup_script="show")
    script = Path(shown(server.http.get(vm))["vm_directory"]) / "startup.vpc"
    script.unlink()
    script.mkdir()
    for _ in range(2):
        assert shown(server.http.get(vm))["startup_script"] is None
    script.rmdir()
    assert shown(server.http.get(vm))["startup_script"] is None


MALFORMED_IDS = [
    "1",
    "42f9feee321741049 81e85d5f0a806ec",
    "42f9feee32174104981e85d5f0a806ec",
    "%7B42f9feee-3217-4104-981e-85d5f0a806ec%7D",
    "urn:uuid:42f9feee-3217-4104-981e-85d5f0a806ec",
    "42f9feee-3217-4104-981e-85d5f0a806e",
    "42f9feee-3217-4104-981e-85d5f0a806ecc",
    "42f9feee-3217-4104-981e-85d5f0a806eg",
    "42f9feee-3217-4104-981e85d5f0a806ec-",
    "42f9feee3217-4104-981e-85d5-f0a806ec",
    "42f9feee-3217-4104-981e-85d5f0a806ec%0A",
    "%2042f9feee-3217-4104-981e-85d5f0a806ec",
    "42f9feee-3217-4104-981e-85d5f0a806%D9%A3%D9%A3",
    "42f9feee_3217_4104_981e_85d5f0a806ec",
    "..",
    "%00",
    "%ff",
]


@pytest.mark.parametrize("malformed", MALFORMED_IDS)
def test_an_id_that_is_no_uuid_gets_400(server: Server, project: str, malformed: str) -> None:
    """E-4: in the place of a project and of a VM."""
    malformed = malformed.replace(" ", "%20")
    with Wire(server.port) as wire:
        for method, path in (
            ("GET", f"/v1/projects/{malformed}"),
            ("PUT", f"/v1/projects/{malformed}"),
            ("DELETE", f"/v1/projects/{malformed}"),
            ("POST", f"/v1/projects/{malformed}/close"),
            ("POST", f"/v1/projects/{malformed}/ports/udp"),
            ("GET", f"/v1/projects/{malformed}/vpcs/vms"),
            ("GET", f"{project}/vpcs/vms/{malformed}"),
            ("PUT", f"{project}/vpcs/vms/{malformed}"),
            ("DELETE", f"{project}/vpcs/vms/{malformed}"),
            ("POST", f"{project}/vpcs/vms/{malformed}/start"),
            ("DELETE", f"{project}/vpcs/vms/{malformed}/adapters/0/ports/0/nio"),
        ):
            reply = wire.call(method, path)
            assert reply.status == 400, f"{method} {path}: {reply}"
            assert json.loads(reply.body)["status"] == 400


@pytest.mark.parametrize(
    "malformed", ["1", "", "{42f9feee-3217-4104-981e-85d5f0a806e}", "42f9feee-3217-4104-981e-85d5f0a806e\n"]
)
def test_an_id_in_a_body_has_the_same_form(server: Server, project: str, malformed: str) -> None:
    """E-4, P-1, M-1: the bounds of the schema are 36 characters of a UUID."""
    refusal(server.http.post("/v1/projects", json={"project_id": malformed}), 400)
    refusal(server.http.post(f"{project}/vpcs/vms", json={"name": "x", "vm_id": malformed}), 400)


@pytest.mark.parametrize(
    "valid",
    [
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
)
def test_the_version_nibble_of_an_id_is_not_looked_at(server: Server, valid: str) -> None:
    """E-4."""
    project = server.project(project_id=valid)
    assert project == f"/v1/projects/{valid}"
    vm = server.vm(project, vm_id=valid)
    assert shown(server.http.get(vm))["vm_id"] == valid
    nothing(server.http.delete(project))


def test_ids_are_compared_without_case_and_shown_in_lower_case(server: Server) -> None:
    """B-27."""
    lower = str(uuid.uuid4()).replace("0", "a")
    project = server.project(project_id=lower.upper())
    assert project == f"/v1/projects/{lower}"
    assert server.project(project_id=lower) == project
    vm = server.vm(project, vm_id=lower.upper())
    assert vm == f"{project}/vpcs/vms/{lower}"
    assert server.vm(project, vm_id=lower) == vm
    shouted = f"/v1/projects/{lower.upper()}/vpcs/vms/{lower.upper()}"
    assert shown(server.http.get(shouted)) == shown(server.http.get(vm))
    assert len(shown(server.http.get(f"{project}/vpcs/vms"))) == 1
    nothing(server.http.delete(shouted))
    refusal(server.http.get(vm), 404)


def test_checks_come_in_the_documented_order(server: Server, project: str, vm: str) -> None:
    """E-3: each request has everything wrong from one step on, and the first step decides."""
    unknown, malformed = str(uuid.uuid4()), "not-a-uuid"
    other = server.project()
    bad = b"{"

    def status(method: str, path: str, content: bytes = b"{}") -> int:
        reply = server.http.request(method, path, content=content)
        refusal(reply, reply.status_code)
        return reply.status_code

    assert status("PATCH", f"/v1/nowhere/{malformed}", bad) == 404
    assert status("PATCH", f"/v1/projects/{malformed}", bad) == 405
    assert status("POST", f"/v1/projects/{unknown}/vpcs/vms", bad) == 400
    assert status("POST", f"/v1/projects/{unknown}/vpcs/vms", b'{"name": 1}') == 400
    assert status("PUT", f"/v1/projects/{unknown}/vpcs/vms/{unknown}", b'{"name": 1}') == 400
    assert status("GET", f"/v1/projects/{malformed}/vpcs/vms/{malformed}") == 400
    assert status("GET", f"/v1/projects/{unknown}/vpcs/vms/{malformed}") == 404
    assert status("GET", f"{project}/vpcs/vms/{malformed}") == 400
    assert status("GET", f"{project}/vpcs/vms/{unknown}") == 404
    elsewhere = vm.replace(project, other)
    nio = b'{"type": "nio_vde"}'
    assert status("GET", elsewhere) == 404
    assert status("POST", f"{elsewhere}/adapters/1/ports/1/nio", nio) == 404
    assert status("POST", f"{vm}/adapters/1/ports/1/nio", nio) == 409
    assert status("POST", f"{elsewhere}/start") == 404
    assert status("PUT", f"/v1/projects/{unknown}", b'{"path": "/tmp/x"}') == 404


def test_a_vm_is_not_reached_through_another_project(server: Server) -> None:
    """E-2, M-12, B-5: it stays untouched."""
    project, other = server.project(), server.project()
    vm = server.vm(project, "mine")
    assert server.link(vm, 9999, 9998).status_code == 201
    elsewhere = vm.replace(project, other)
    nio = {"type": "nio_udp", "lport": 9997, "rport": 9998, "rhost": "127.0.0.1"}
    for method, path, body in (
        ("GET", elsewhere, None),
        ("PUT", elsewhere, {"name": "theirs"}),
        ("DELETE", elsewhere, None),
        ("POST", f"{elsewhere}/start", {}),
        ("POST", f"{elsewhere}/stop", {}),
        ("POST", f"{elsewhere}/reload", {}),
        ("POST", f"{elsewhere}/adapters/0/ports/0/nio", nio),
        ("DELETE", f"{elsewhere}/adapters/0/ports/0/nio", None),
    ):
        refusal(server.http.request(method, path, json=body), 404)
    assert shown(server.http.get(vm))["name"] == "mine"
    assert shown(server.http.get(vm))["status"] == "stopped"
    nothing(server.http.delete(project))


def test_a_failed_request_leaves_no_trace(server: Server) -> None:
    """E-3."""
    project = server.project()
    vm = server.vm(project, "PC", startup_script="show")
    directory = Path(shown(server.http.get(project))["path"])

    def state() -> Any:
        return (
            [shown(server.http.get(path)) for path in ("/v1/projects", project, vm, f"{project}/vpcs/vms")],
            sorted(str(path) for path in directory.parent.rglob("*")),
            (Path(shown(server.http.get(vm))["vm_directory"]) / "startup.vpc").read_bytes(),
        )

    before = state()
    in_use = shown(server.http.get(vm))["console"]
    for method, path, body, status in (
        ("POST", "/v1/projects", {"name": "x", "path": "/tmp/elsewhere"}, 403),
        ("POST", "/v1/projects", {"name": ""}, 400),
        ("PUT", project, {"name": "new", "temporary": True, "path": "/tmp/elsewhere"}, 403),
        ("PUT", project, {"name": "new", "temporary": "yes"}, 400),
        ("POST", f"{project}/vpcs/vms", {"name": "x", "console": in_use}, 409),
        ("POST", f"{project}/vpcs/vms", {"name": "x", "console": 1}, 409),
        ("PUT", vm, {"name": "new", "startup_script": "new", "console": 1}, 409),
        ("PUT", vm, {"name": "new", "extra": 1}, 400),
        ("POST", f"{vm}/start", {}, 409),
    ):
        refusal(server.http.request(method, path, json=body), status)
    assert state() == before
