"""Settings of VMs: in which form they come, what a change of each needs, and which ports they leave."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from inprocess import Served, offering, serving
from labplane import VM, BadRequest, Driver, Schema
from labplane.api.vm_routes import DriverError, check_driver
from labplane.validation.schemas import Schemas

SMALL: Schema = {"type": "integer", "minimum": 0, "maximum": 8}


class Router(Driver):
    """Its settings are of each sort there is."""

    kind = "router"
    properties: ClassVar[Mapping[str, Schema]] = {
        "slots": {**SMALL, "default": 2, "x-change": "live"},
        "ram": {"type": "integer", "default": 256},
        "image": {"type": "string", "default": "", "x-change": "stopped", "x-null": "default"},
        "model": {"enum": ["c1", "c2"], "default": "c1", "x-null": "default"},
        "limit": {"anyOf": [SMALL, {"const": "none"}], "default": "none", "x-null": "default"},
    }
    accepts: ClassVar[Mapping[str, Schema]] = {"ram_gib": {"type": "integer", "x-change": "stopped"}}
    readonly: ClassVar[Mapping[str, Schema]] = {"configured": {"type": "array"}}

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        slots: int = settings["slots"]
        return (1,) * slots

    def normalise(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given.get("image", "").startswith("/"):
            raise BadRequest("An image is a name.")
        more = {"ram": given["ram_gib"] * 1024} if "ram_gib" in given else {}
        return {**given, **more}

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        vm.data.setdefault("configured", []).append(dict(changes))

    async def show(self, vm: VM) -> Mapping[str, Any]:
        return {**await super().show(vm), "configured": vm.data["configured"]}

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


class OldRouter(Router):
    """As drivers were written when `adapters` took the VM alone."""

    kind = "old_router"

    def adapters(self, vm: VM) -> Sequence[int]:  # type: ignore[override] # it would be none of `Driver` itself
        slots: int = vm.settings["slots"]
        return (1,) * slots


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [offering(Router, OldRouter)]) as served:
        yield served


def plug(served: Served, vm: str, adapter: int) -> str:
    lport = served.lab.udp.first
    at = f"{vm}/adapters/{adapter}/ports/0/nio"
    nio = {"type": "nio_udp", "lport": lport, "rhost": "127.0.0.1", "rport": 9}
    assert served.http.post(at, json=nio).status_code == 201
    return at


@pytest.mark.parametrize("kind", ["router", "old_router"])
def test_a_setting_cannot_take_away_the_port_of_a_link(kind: str, served: Served) -> None:
    vm = served.vm(served.project(), kind, slots=3)
    at = plug(served, vm, 2)
    refused = served.http.put(vm, json={"slots": 2, "ram": 1})
    assert refused.status_code == 409
    assert "Port 0 of adapter 2" in refused.json()["message"]
    assert "DELETE its NIO" in refused.json()["message"]
    shown = served.http.get(vm).json()
    assert (shown["slots"], shown["ram"], len(shown["configured"])) == (3, 256, 1), "configure was not even asked"
    assert served.http.put(vm, json={"slots": 4}).status_code == 200
    assert served.http.delete(at).status_code == 204
    assert served.http.put(vm, json={"slots": 0}).status_code == 200
    assert served.http.delete(at).status_code == 409


def test_a_link_whose_port_went_all_the_same_can_be_unplugged(served: Served) -> None:
    """Of a driver whose adapters follow from more than settings."""
    vm = served.vm(served.project(), "router", slots=3)
    at = plug(served, vm, 2)
    served.lab.vms.get(vm.rsplit("/", 1)[1]).settings["slots"] = 1  # type: ignore[union-attr]
    assert served.http.delete(at).status_code == 204
    assert served.lab.udp.leased() == []


def test_what_only_works_while_it_is_stopped_is_refused_while_it_runs(served: Served) -> None:
    vm = served.vm(served.project(), "router", image="a")
    served.http.post(f"{vm}/start")
    for body in ({"image": "b"}, {"ram_gib": 1}, {"image": None}):
        refused = served.http.put(vm, json={**body, "slots": 1})
        assert refused.status_code == 409
        (name,) = body
        assert f"The setting '{name}' of router 'A'" in refused.json()["message"]
        assert "stop it first" in refused.json()["message"]
    assert served.http.get(vm).json()["slots"] == 2
    assert served.http.put(vm, json={"image": "a", "slots": 1, "ram": 1}).status_code == 200, "it is the same value"
    served.http.post(f"{vm}/stop")
    assert served.http.put(vm, json={"image": "b"}).json()["image"] == "b"


def test_what_is_given_is_normalised_before_it_is_configured_and_kept(served: Served) -> None:
    project = served.project()
    vm = served.vm(project, "router", ram_gib=2, image=None, model=None, limit=None)
    shown = served.http.get(vm).json()
    assert shown["ram"] == 2048
    assert (shown["image"], shown["model"], shown["limit"]) == ("", "c1", "none")
    assert "ram_gib" not in shown
    assert shown["configured"] == [
        {"ram_gib": 2, "ram": 2048, "image": "", "model": "c1", "limit": "none"},
    ]
    refused = served.http.put(vm, json={"image": "/etc/shadow", "ram": 1})
    assert (refused.status_code, refused.json()["message"]) == (400, "An image is a name.")
    assert served.http.get(vm).json() == shown
    assert served.http.put(vm, json={"ram": None}).status_code == 400, "null means nothing for it"


def test_the_document_says_what_a_change_of_each_setting_needs(served: Served) -> None:
    schemas = served.http.get("/v1/openapi.json").json()["components"]["schemas"]
    for name in ("RouterCreate", "RouterUpdate"):
        said = {key: schema.get("x-change") for key, schema in schemas[name]["properties"].items() if key != "vm_id"}
        assert said == {
            "name": "live",
            "console": "stopped",
            "slots": "live",
            "ram": "restart",
            "image": "stopped",
            "model": "restart",
            "limit": "restart",
            "ram_gib": "stopped",
        }
        assert schemas[name]["properties"]["ram_gib"]["writeOnly"] is True
        assert schemas[name]["properties"]["image"]["type"] == ["string", "null"]
        assert schemas[name]["properties"]["model"]["enum"] == ["c1", "c2", None]
    assert schemas["RouterVM"]["properties"]["model"]["enum"] == ["c1", "c2"]
    assert "ram_gib" not in schemas["RouterVM"]["properties"]
    assert schemas["RouterNIO"]["x-change"] == "restart"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"properties": {"x": {"x-change": "soon"}}}, "x-change is one of live, restart, stopped, not 'soon'"),
        ({"properties": {"x": {"x-saved-by": True}}}, "x-saved-by is a line for its console, not True"),
        ({"properties": {"x": {"x-null": "default"}}}, "x-null can only be 'default', and needs a default"),
        ({"accepts": {"slots": {}}, "properties": {"slots": {}}}, "only accepts ['slots']"),
        ({"accepts": {"name": {}}}, "it is the kernel's own"),
    ],
)
def test_a_driver_that_says_nonsense_of_its_settings_is_refused(
    members: dict[str, Any], words: str, served: Served
) -> None:
    wrong = type("Wrong", (Router,), {"kind": "wrong", "properties": {}, "accepts": {}, **members})
    with pytest.raises(DriverError) as refused:
        check_driver(wrong(served.lab), {})
    assert words in str(refused.value)


def test_a_plain_method_must_not_be_async(served: Served) -> None:
    async def patience(_: VM) -> float:
        return 1.0

    driver = Router(served.lab)
    driver.patience = patience  # type: ignore[assignment,method-assign]
    with pytest.raises(DriverError, match="patience must be a plain method"):
        check_driver(driver, {})


def test_requests_with_annotated_schemas_still_take_the_shortcut() -> None:
    rule = Schemas().compile({"type": "integer", "x-change": "live", "writeOnly": True}, "here")
    assert rule.accepts(1)
    assert not rule.accepts("1")
