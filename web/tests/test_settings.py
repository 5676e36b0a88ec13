"""Forms made from the schemas of drivers, scripts, logs, notes, and taking it all back."""

import pytest
from playwright.sync_api import APIResponse, Route, expect

from expect import shown
from lab_page import LabPage
from support import Server, until


@pytest.fixture
def lab(server: Server, project: str, lab: LabPage) -> LabPage:
    """A visitor at that lab."""
    lab.open(server, project)
    return lab


def menu(lab: LabPage, name: str, item: str) -> None:
    """Choose an item of the menu of a machine."""
    lab.page.mouse.click(*lab.middle(name), button="right")
    lab.page.get_by_role("menuitem", name=item, exact=True).click()


def test_the_form_of_a_kind_is_made_from_its_schema(server: Server, project: str, lab: LabPage) -> None:
    lab.page.get_by_role("button", name="Add a Switch with settings").click()
    dialog = lab.page.get_by_role("dialog", name="Add a Switch")
    assert dialog.get_by_label("Ports").input_value() == "8"
    assert dialog.get_by_label("Ports").get_attribute("max") == "64"
    dialog.get_by_label("Name").fill("Core")
    dialog.get_by_label("Ports").fill("3")
    dialog.get_by_role("button", name="Create").click()
    expect(lab.node("Core")).to_have_accessible_name("Core, Switch, stopped, 0 of 3 ports linked")
    [made] = shown(server.http.get(f"{project}/switch/vms"))
    assert (made["name"], made["ports"], made["ageing_seconds"]) == ("Core", 3, 300)


def test_a_changed_setting_says_what_it_needs_and_can_be_taken_back(server: Server, project: str, lab: LabPage) -> None:
    vm = server.vm(project, name="Edge", kind="switch", ports=4)
    expect(lab.node("Edge")).to_be_visible()
    menu(lab, "Edge", "Settings…")
    dialog = lab.page.get_by_role("dialog", name="Settings")
    expect(dialog.locator(".hint").first).to_be_visible()
    dialog.get_by_label("Ageing seconds").fill("60")
    dialog.get_by_role("button", name="Save").click()
    until(lambda: shown(server.http.get(vm))["ageing_seconds"] == 60, "the new setting")
    lab.page.get_by_role("button", name="Undo (Ctrl+Z)").click()
    until(lambda: shown(server.http.get(vm))["ageing_seconds"] == 300, "the old setting")
    menu(lab, "Edge", "Settings…")
    dialog.get_by_label("Ports").fill("65")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_visible()  # the browser knows the schema's maximum


def test_a_refused_setting_leaves_the_form_with_the_servers_sentence(
    server: Server, project: str, lab: LabPage
) -> None:
    taken = shown(server.http.get(server.vm(project, name="PC1")))["console"]
    server.vm(project, name="PC2")
    expect(lab.nodes).to_have_count(2)
    menu(lab, "PC2", "Settings…")
    dialog = lab.page.get_by_role("dialog", name="Settings")
    dialog.get_by_label("Console").fill(str(taken))
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text(str(taken))
    assert lab.complaints.pop().startswith("Failed to load resource: the server responded with a status of 409")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)


def test_a_script_is_written_in_an_editor_and_runs(server: Server, lab: LabPage, pair: list[str]) -> None:
    expect(lab.links).to_have_count(1)
    menu(lab, "PC1", "Startup script…")
    lab.page.get_by_role("textbox", name="Startup script of PC1").fill("echo hello from the script\n")
    lab.page.get_by_role("button", name="Save").click()
    expect(lab.page.get_by_role("dialog")).to_have_count(0)
    assert shown(server.http.get(pair[0]))["startup_script"] == "echo hello from the script\n"
    menu(lab, "PC1", "Start")
    expect(lab.running()).to_have_count(1)
    expect(lab.console("PC1")).to_contain_text("hello from the script")
    menu(lab, "PC1", "Log")
    expect(lab.page.get_by_role("dialog", name="Log of PC1")).to_contain_text("hello from the script")


def test_what_is_deleted_comes_back_with_its_script_links_place_and_notes(
    server: Server, project: str, lab: LabPage, pair: list[str]
) -> None:
    assert shown(server.http.put(pair[0], json={"startup_script": "# mine\n"}))
    vm_id = pair[0].rpartition("/")[2]
    node = {"vm_id": vm_id, "x": -300, "y": 40, "notes": "the teacher's"}
    assert server.http.patch(f"{project}/topology", json={"nodes": [node]}).status_code == 200
    [before] = shown(server.http.get(f"{project}/topology"))["links"]
    expect(lab.links).to_have_count(1)
    lab.page.mouse.click(*lab.middle("PC1"))
    expect(lab.page.get_by_label("Notes")).to_have_value("the teacher's")
    menu(lab, "PC1", "Delete")
    expect(lab.nodes).to_have_count(1)
    expect(lab.links).to_have_count(0)
    lab.page.get_by_role("status").get_by_role("button", name="Undo").click()
    expect(lab.nodes).to_have_count(2)
    expect(lab.links).to_have_count(1)
    found = shown(server.http.get(f"{project}/topology"))
    [back] = [one for one in found["nodes"] if one["vm_id"] == vm_id]
    assert (back["name"], back["x"], back["y"], back["notes"]) == ("PC1", -300, 40, "the teacher's")
    assert [link["link_id"] for link in found["links"]] == [before["link_id"]]
    assert shown(server.http.get(pair[0]))["startup_script"] == "# mine\n"


def test_what_is_told_while_an_older_picture_is_on_its_way_is_shown(
    server: Server, project: str, lab: LabPage, pair: list[str]
) -> None:
    """The picture is asked for, notes are changed and told, and only then does the answer come, without them."""
    node = {"vm_id": pair[0].rpartition("/")[2], "x": -300, "y": 40, "notes": "the newer ones"}
    held: list[APIResponse] = []

    def hold(route: Route) -> None:
        answer = route.fetch()
        if not held:
            held.append(answer)
            assert server.http.patch(f"{project}/topology", json={"nodes": [node]}).status_code == 200
            route.request.frame.page.wait_for_timeout(300)  # for the event, without which there is nothing to see here
        route.fulfill(response=answer)

    expect(lab.links).to_have_count(1)
    lab.page.route("**/topology", hold)
    server.vm(project, "PC3")
    expect(lab.nodes).to_have_count(3)
    lab.page.mouse.click(*lab.middle("PC1"))
    expect(lab.page.get_by_label("Notes")).to_have_value("the newer ones")
    assert held
