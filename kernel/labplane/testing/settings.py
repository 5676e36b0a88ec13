"""What a driver's VMs look like: made, shown, changed and deleted, with the settings that its schema publishes."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from labplane.testing.machines import Machines
from labplane.testing.published import Published
from labplane.testing.values import unfitting

KEPT = frozenset({"vm_id", "project_id", "status", "console", "vm_directory"})
UNKNOWN = "no_setting_of_this_name"


class SettingsTests:
    """The life of VM objects: create, show, list, update, delete."""

    def test_a_vm_object_is_what_the_schema_publishes(self, machines: Machines, published: Published) -> None:
        vm = machines.linked()
        looks = {
            "the reply to create": machines.ask("POST", machines.path, 201, {"name": "seen", **machines.settings}),
            "show": machines.show(vm),
            "list": machines.ask("GET", machines.path, 200)[0],
            "the reply to update": machines.ask("PUT", vm, 200, {"name": "changed"}),
        }
        machines.start(vm)
        looks["show of a VM that runs"] = machines.show(vm)
        for where, shown in looks.items():
            reason = published.complaint(published.vm, shown, "the VM object")
            hint = " One that has no default and is not given is null." if "not null" in (reason or "") else ""
            assert reason is None, f"{where} does not fit the published schema of {published.kind} VMs: {reason}.{hint}"
            lacks = sorted(published.vm["properties"].keys() - shown.keys())
            assert not lacks, f"{where} lacks {', '.join(lacks)}, which the schema publishes; show() must answer them."

    def test_a_vm_is_shown_and_listed_from_create_to_delete(self, machines: Machines) -> None:
        assert machines.ask("GET", machines.path, 200) == []
        made = machines.ask("POST", machines.path, 201, {"name": "first", **machines.settings})
        vm = f"{machines.path}/{made['vm_id']}"
        assert made["name"] == "first"
        assert made["status"] == "stopped"
        assert machines.show(vm) == made, "show differs from the reply to create, though nothing happened between them"
        assert machines.ask("GET", machines.path, 200) == [made], "list differs from show"
        machines.ask("DELETE", vm, 204)
        machines.refusal("GET", vm, 404)
        assert machines.ask("GET", machines.path, 200) == []

    def test_a_vm_id_is_made_once(self, machines: Machines) -> None:
        body = {"name": "once", "vm_id": str(uuid4()), **machines.settings}
        made = machines.ask("POST", machines.path, 201, body)
        assert made["vm_id"] == body["vm_id"]
        assert machines.ask("POST", machines.path, 201, body) == made
        assert len(machines.ask("GET", machines.path, 200)) == 1

    def test_settings_that_are_not_given_have_their_defaults(self, machines: Machines, published: Published) -> None:
        shown = machines.show(machines.create())
        for name, schema in published.own.items():
            schema = published.resolve(schema)
            if name not in machines.settings and "default" in schema:
                assert shown[name] == schema["default"], (
                    f"{name!r} was not given and is {shown[name]!r}; its schema promises {schema['default']!r}"
                )

    def test_settings_that_are_given_are_answered(self, machines: Machines, published: Published) -> None:
        shown = machines.show(machines.create())
        for name, value in machines.settings.items():
            if not isinstance(value, str):  # a text may be shown in another form: a path, a MAC address
                assert shown[name] == value, f"{name!r} was given as {value!r} and is shown as {shown[name]!r}"
        vm = machines.create()
        for name, value in _plain_values(published):
            reply = machines.send("PUT", vm, {name: value})
            if reply.status_code == 200:
                assert reply.json()[name] == value, f"{name!r} was changed to {value!r}; shown: {reply.json()[name]!r}"
                assert machines.show(vm) == reply.json(), f"show differs from the reply to a change of {name!r}"

    def test_a_vm_can_be_renamed(self, machines: Machines) -> None:
        vm = machines.linked()
        before = machines.show(vm)
        changed = machines.ask("PUT", vm, 200, {"name": "renamed"})
        assert changed["name"] == "renamed"
        assert machines.show(vm) == changed, "show differs from the reply to the update"
        for name in KEPT & before.keys():
            assert changed[name] == before[name], f"a new name has changed {name!r} too"

    def test_a_vm_takes_what_it_shows(self, machines: Machines, published: Published) -> None:
        vm = machines.create()
        before = machines.show(vm)
        assert machines.ask("PUT", vm, 200, {name: before[name] for name in published.own}) == before

    def test_an_unknown_setting_is_a_400_that_names_it(self, machines: Machines) -> None:
        vm = machines.create()
        before = machines.show(vm)
        for method, path in (("POST", machines.path), ("PUT", vm)):
            body = {"name": "unknown", **machines.settings, UNKNOWN: 1}
            assert UNKNOWN in machines.refusal(method, path, 400, body)
        assert machines.ask("GET", machines.path, 200) == [before], "a refused request has changed something"

    def test_a_setting_of_a_wrong_type_is_a_400_that_names_it(self, machines: Machines, published: Published) -> None:
        vm = machines.create()
        before = machines.show(vm)
        for method, path, schema in (("POST", machines.path, published.create), ("PUT", vm, published.update)):
            for name, rule in schema["properties"].items():
                for value in unfitting(published, rule):
                    body = {"name": "wrong", **machines.settings, name: value}
                    text = machines.refusal(method, path, 400, body)
                    assert name in text, f"{method} with {name} = {value!r:.50} is refused without naming it: {text}"
        assert machines.ask("GET", machines.path, 200) == [before], "a refused request has changed something"

    def test_a_create_request_must_bring_what_is_required(self, machines: Machines, published: Published) -> None:
        body = {"name": "incomplete", **machines.settings}
        for name in published.create["required"]:
            assert name in machines.refusal("POST", machines.path, 400, {k: v for k, v in body.items() if k != name})
        assert machines.ask("GET", machines.path, 200) == []

    def test_no_setting_takes_away_the_port_of_a_link(self, machines: Machines, published: Published) -> None:
        for name, value in _plain_values(published):
            vm = machines.linked()
            linked = set(machines.ports(vm)) if published.nio_types else set()
            machines.link(vm)
            if machines.send("PUT", vm, {name: value}).status_code == 200:
                shown = machines.ask("GET", f"{vm}/ports", 200)
                gone = linked - {(port["adapter"], port["port"]) for port in shown}
                assert not gone, (
                    f"The VM took {name} = {value!r}, and has lost the ports {sorted(gone)}, which are linked. "
                    "adapters(vm, settings) has to follow from the settings that it is given; then this is a 409."
                )
            machines.ask("DELETE", vm, 204)

    def test_each_setting_has_an_effect_that_can_be_seen(self, machines: Machines, published: Published) -> None:
        if "command_line" not in published.readonly:
            pytest.skip("not checked: settings. Its VMs show no command line in which they could be seen")
        unseen = []
        for name in published.own:
            values = [value for one, value in _plain_values(published) if one == name]
            looks = (look for value in values if (look := _look(machines, {name: value})) is not None)
            first, second = next(looks, None), next(looks, None)
            if second is not None and first == second and all(look == first for look in looks):
                unseen.append(name)
        if unseen:
            pytest.skip(
                f"no effect was seen of {', '.join(unseen)}: whatever the value is, the command line and the files of "
                "the VM are the same. Is that so, or are they ignored?"
            )

    def test_the_console_can_be_chosen(self, machines: Machines, published: Published) -> None:
        if not published.has_console:
            assert "console" in machines.refusal("POST", machines.path, 400, {"name": "mute", "console": 2000})
            pytest.skip(f"{published.kind} VMs have no console")
        last = machines.server.consoles[1]
        vm = machines.create(console=last)
        assert machines.show(vm)["console"] == last
        machines.refusal("POST", machines.path, 409, {"name": "second", **machines.settings, "console": last})
        machines.ask("PUT", vm, 200, {"console": last - 1})
        assert machines.show(vm)["console"] == last - 1
        assert machines.show(machines.create(console=last))["console"] == last, "the console that was left is not free"


def _look(machines: Machines, body: dict[str, Any]) -> tuple[str, dict[str, bytes]] | None:
    """The command line and the files of a VM with these settings that runs; None when it does not start with them."""
    reply = machines.send("POST", machines.path, {"name": "seen", **machines.settings, **body})
    if reply.status_code != 201:
        return None
    vm = f"{machines.path}/{reply.json()['vm_id']}"
    lports = machines.link(vm)
    look = None
    if machines.send("POST", f"{vm}/start").status_code == 204:
        shown = machines.show(vm)
        machines.stop(vm)
        folder = Path(shown["vm_directory"])
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        of_this_vm = [reply.json()["vm_id"], *map(str, lports.values()), str(shown.get("console"))]
        line = str(shown["command_line"])
        for word in of_this_vm:
            line = line.replace(word, "")
        look = line, {name: content for name, content in files.items() if not name.endswith((".log", ".log.1"))}
    machines.ask("DELETE", vm, 204)
    return look


def _plain_values(published: Published) -> list[tuple[str, Any]]:
    """Values that can only be shown as they are: booleans, numbers, and words of an enumeration."""
    found = []
    for name, schema in published.own.items():
        schema = published.resolve(schema)
        values = [*schema.get("enum", ()), True, False, *(schema.get(key) for key in ("minimum", "maximum"))]
        judge = published.validator(schema)
        found += [(name, value) for value in values if value is not None and judge.is_valid(value)]
    return found
