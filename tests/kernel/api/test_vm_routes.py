"""What every driver gets for nothing, and what the kernel answers for itself."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from inprocess import Served, offering, serving
from labplane import VM, Driver, Schema

SIZE: Schema = {"type": "integer", "minimum": 1}


class Plain(Driver):
    """No console, nothing beyond start and stop, a property that a VM must be created with."""

    kind = "plain_box"
    console = False
    properties: ClassVar[Mapping[str, Schema]] = {"size": SIZE, "note": {"type": "string", "default": "none"}}
    required: ClassVar[Sequence[str]] = ["size"]
    readonly: ClassVar[Mapping[str, Schema]] = {"uptime": {"type": "number"}}

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass

    async def show(self, vm: VM) -> Mapping[str, Any]:
        return {**await super().show(vm), "uptime": 0.5, "name": "a driver cannot lie about the kernel's own"}


class Other(Plain):
    kind = "other"
    console = True
    properties: ClassVar[Mapping[str, Schema]] = {}
    required: ClassVar[Sequence[str]] = ()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [offering(Plain, Other)]) as served:
        yield served


def test_a_vm_object_has_the_kernels_members_and_the_drivers_flat_beside_them(served: Served) -> None:
    project = served.project()
    vm = served.vm(project, "plain_box", size=3)
    shown = served.http.get(vm).json()
    assert shown == {
        "name": "A",
        "vm_id": vm.rsplit("/", 1)[1],
        "project_id": project.rsplit("/", 1)[1],
        "status": "stopped",
        "vm_directory": shown["vm_directory"],
        "size": 3,
        "note": "none",
        "uptime": 0.5,
    }
    assert Path(shown["vm_directory"]).is_dir()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "A"}, "lacks the required 'size'"),
        ({"name": "A", "size": 0}, "'size' must be at least 1"),
        ({"name": "A", "size": 1, "console": 2000}, "unknown 'console'; allowed are 'name', 'note', 'size', 'vm_id'"),
        ({"name": "A", "size": 1, "uptime": 1}, "unknown 'uptime'"),
        ({"name": "A", "size": 1, "vm_id": None}, "'vm_id' must be of type string or integer, not null"),
    ],
)
def test_a_creation_is_validated_against_what_the_driver_declares(
    body: dict[str, Any], words: str, served: Served
) -> None:
    reply = served.http.post(f"{served.project()}/plain_box/vms", json=body)
    assert reply.status_code == 400
    assert words in reply.json()["message"]
    assert len(served.lab.vms) == 0


def test_an_update_needs_none_of_what_a_creation_needs(served: Served) -> None:
    vm = served.vm(served.project(), "plain_box", size=3)
    changed = served.http.put(vm, json={"note": "mine", "name": None}).json()
    assert (changed["name"], changed["size"], changed["note"]) == ("A", 3, "mine")


@pytest.mark.parametrize("action", ["reload", "suspend", "resume"])
def test_what_a_kind_cannot_do_is_a_405_that_says_what_it_can(action: str, served: Served) -> None:
    vm = served.vm(served.project(), "plain_box", size=1)
    reply = served.http.post(f"{vm}/{action}")
    assert reply.status_code == 405
    assert reply.json()["message"] == f"plain_box VMs cannot {action}; they can start, stop."


def test_a_vm_is_only_of_its_own_kind(served: Served) -> None:
    project = served.project()
    vm = served.vm(project, "plain_box", size=1)
    elsewhere = vm.replace("/plain_box/", "/other/")
    for method, path in (("GET", ""), ("PUT", ""), ("POST", "/start"), ("DELETE", "")):
        reply = served.http.request(method, elsewhere + path)
        assert reply.status_code == 404
        assert "it is of kind plain_box" in reply.json()["message"]
    assert served.http.get(f"{project}/other/vms").json() == []
    assert len(served.http.get(f"{project}/plain_box/vms").json()) == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v2/version", "speaks version 1 of the GNS3 API, below /v1, and not v2."),
        ("/v3", "below /v1, and not v3."),
        ("/v1/projects/x/qemu/vms", "VMs are of the kinds other, plain_box here."),
        ("/v1/projects/x/qemu/vms/y/start", "VMs are of the kinds other, plain_box here."),
        ("/v1/projects/x/other/vm", "The nearest one is /v1/projects/{project_id}/other/vms."),
        ("/v1/plugin", "The nearest one is /v1/plugins."),
    ],
)
def test_an_unknown_route_is_a_404_that_says_what_there_is(path: str, words: str, served: Served) -> None:
    reply = served.http.get(path)
    assert reply.status_code == 404
    assert reply.json()["message"].startswith(f"There is no route {path}. ")
    assert words in reply.json()["message"]


def test_a_vm_of_another_project_is_unknown(served: Served) -> None:
    """E-3, B-5."""
    one, two = served.project(), served.project()
    vm = served.vm(one, "plain_box", size=1)
    reply = served.http.delete(vm.replace(one, two))
    assert (reply.status_code, reply.json()["message"].split(" in project")[0]) == (
        404,
        f"There is no VM {vm.rsplit('/', 1)[1]}",
    )
    assert served.http.get(vm).status_code == 200


def test_the_schemas_of_a_kind_are_named_after_it(served: Served) -> None:
    assert {"PlainBoxCreate", "PlainBoxUpdate", "PlainBoxNIO", "PlainBoxVM", "OtherVM"} <= set(served.lab.schemas.named)


def test_the_kernel_answers_for_its_version_and_its_plugins(served: Served) -> None:
    """V-1, V-2."""
    assert served.http.get("/v1/version").json() == {"version": "1.3.dev1", "local": False}
    assert served.http.post("/v1/version", json={"version": "1.3.dev1"}).json() == {"version": "1.3.dev1"}
    refused = served.http.post("/v1/version", json={"version": "2.0"})
    assert (refused.status_code, refused.json()["message"]) == (
        409,
        "The client has version '2.0', the server '1.3.dev1'.",
    )
    [projects, testing] = served.http.get("/v1/plugins").json()
    assert (projects["name"], testing["kinds"]) == ("projects", ["plain_box", "other"])
