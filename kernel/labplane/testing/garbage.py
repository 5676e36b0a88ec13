"""Tests that a driver survives any settings that fit its schema; hypothesis makes them."""

from typing import Any

from hypothesis import example, given, settings

from labplane.testing.judging import Schema
from labplane.testing.machines import Machines, message
from labplane.testing.published import Published
from labplane.testing.values import ANYTHING, EXAMPLES, objects, odd_objects

STARTS = 8


class GarbageTests:
    """Unusual settings that fit the published schema."""

    def test_any_settings_that_fit_the_schema_make_a_vm_or_are_refused(
        self, machines: Machines, published: Published
    ) -> None:
        @given(_creates(published))
        def survives(body: dict[str, Any]) -> None:
            reply = machines.send("POST", machines.path, {**machines.settings, **body})
            if reply.status_code != 201:
                message(reply, 400, 409)
                assert machines.ask("GET", machines.path, 200) == [], f"refused, and there all the same: {body!r:.300}"
                return
            vm = f"{machines.path}/{reply.json()['vm_id']}"
            shown = machines.show(vm)
            reason = published.complaint(published.vm, shown, "the VM object")
            assert reason is None, f"created with {body!r:.300} it shows what does not fit its schema: {reason}"
            machines.ask("PUT", vm, 200, {"name": "plain"})
            machines.ask("DELETE", vm, 204)

        _run(survives, published)

    def test_an_update_is_taken_or_changes_nothing(self, machines: Machines, published: Published) -> None:
        @given(objects(published, _properties(published.update, published)))
        def survives(body: dict[str, Any]) -> None:
            vm = machines.create()
            before = machines.show(vm)
            reply = machines.send("PUT", vm, body)
            after = machines.show(vm)
            machines.ask("DELETE", vm, 204)
            if reply.status_code == 200:
                assert after == reply.json(), f"show differs from the reply to the update {body!r:.300}"
                reason = published.complaint(published.vm, after, "the VM object")
                assert reason is None, f"changed by {body!r:.300} it shows what does not fit its schema: {reason}"
                if "name" not in body:  # which may stand in a setting, as that of a VPCS does in its script
                    changed = [name for name in published.own.keys() - body.keys() if after[name] != before[name]]
                    assert not changed, f"the update {body!r:.300} has changed {', '.join(changed)} too"
            else:
                message(reply, 400, 409)
                assert after == before, (
                    f"The update {body!r:.300} was refused, and has changed the VM: configure() must refuse before it "
                    "changes anything"
                )

        _run(survives, published)

    def test_whatever_settings_it_took_start_works_or_is_refused(
        self, machines: Machines, published: Published
    ) -> None:
        @given(_creates(published))
        def survives(body: dict[str, Any]) -> None:
            reply = machines.send("POST", machines.path, {**machines.settings, **body})
            if reply.status_code == 201:
                vm = f"{machines.path}/{reply.json()['vm_id']}"
                machines.link(vm)
                started = machines.send("POST", f"{vm}/start")
                assert started.status_code == 204 or message(started, 400, 409)
                machines.ask("DELETE", vm, 204)

        _run(survives, published, max_examples=STARTS)

    def test_a_body_of_any_form_is_answered(self, machines: Machines, published: Published) -> None:
        judge = published.validator(published.create)

        @EXAMPLES
        @given(ANYTHING)
        def survives(body: Any) -> None:
            if not judge.is_valid(body):
                machines.refusal("POST", machines.path, 400, body)

        survives()
        assert machines.ask("GET", machines.path, 200) == []


def _properties(schema: Schema, published: Published) -> dict[str, Schema]:
    """The properties of a body that are made up: the name and the driver's own, not vm_id and console of the kernel."""
    return {"name": schema["properties"]["name"], **published.own}


def _creates(published: Published) -> Any:
    return objects(published, _properties(published.create, published), published.create["required"])


def _run(survives: Any, published: Published, **more: Any) -> None:
    """Run the test with each odd text first, then with the examples of hypothesis."""
    for body in reversed(odd_objects(published, _properties(published.create, published))):
        survives = example({"name": "odd", **body})(survives)
    settings(EXAMPLES, **more)(survives)()
