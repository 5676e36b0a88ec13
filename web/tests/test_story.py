"""A lab from nothing to a ping in a real browser, with the mouse and with the keyboard alone; two people at one lab."""

from pathlib import Path

from playwright.sync_api import Browser, Playwright, expect

from firefox import firefox_running
from lab_page import LabPage, visitor
from support import Server


def test_three_pcs_and_a_switch_are_made_linked_started_and_ping(server: Server, lab: LabPage) -> None:
    tell_the_story(server, lab)


def test_the_same_in_firefox(server: Server, playwright: Playwright, tmp_path: Path) -> None:
    with firefox_running(playwright, tmp_path) as browser, visitor(browser) as lab:
        tell_the_story(server, lab)
        assert lab.complaints == []


def tell_the_story(server: Server, lab: LabPage) -> None:
    """From the cards to a ping."""
    lab.open(server)
    lab.page.get_by_role("button", name="New lab").first.click()
    lab.page.get_by_label("Name").fill("Class 7b")
    lab.page.get_by_role("button", name="Create").click()
    lab.ready()
    expect(lab.page).to_have_title("Class 7b · labplane")
    lab.add("Switch")
    for number in (1, 2, 3):
        lab.add("PC vpcs")
        lab.link(f"PC{number}", "Switch1")
    lab.page.get_by_role("button", name="Start all").click()
    expect(lab.running()).to_have_count(4)
    expect(lab.page.locator("#up")).to_have_text("4 of 4 machines up")
    for number in (2, 1):
        lab.type(f"PC{number}", f"ip 10.0.0.{number}/24")
    for number in (2, 1):
        lab.page.get_by_role("tab", name=f"PC{number}").click()
        expect(lab.console(f"PC{number}")).to_contain_text(f"10.0.0.{number} 255.255.255.0")
    lab.type("PC1", "ping 10.0.0.2 -c 1")
    expect(lab.console("PC1")).to_contain_text("icmp_seq=1 ttl=64")
    topology = server.http.get(f"/v1/projects/{lab.page.url.rpartition('/')[2]}/topology").json()
    assert sorted(node["name"] for node in topology["nodes"]) == ["PC1", "PC2", "PC3", "Switch1"]
    assert len(topology["links"]) == 3
    assert None not in {node["x"] for node in topology["nodes"]}
    assert [address for address in lab.asked if not address.startswith((server.url, "data:", "blob:"))] == []


def test_the_keyboard_alone_makes_a_lab_and_takes_it_back(server: Server, project: str, lab: LabPage) -> None:
    lab.open(server, project)
    press = lab.page.keyboard.press
    for number in (1, 2):
        lab.page.locator("#picture").focus()
        press("n")
        lab.page.get_by_role("button", name="PC vpcs", exact=True).focus()
        press("Enter")
        expect(lab.nodes).to_have_count(number)
    lab.node("PC1").focus()
    press("l")
    lab.node("PC2").focus()
    press("Enter")
    expect(lab.links).to_have_count(1)
    press("Control+a")
    press("s")
    expect(lab.running()).to_have_count(2)
    before = lab.middle("PC2")
    press("Shift+ArrowRight")
    expect(lab.page.locator("#undo")).to_be_enabled()
    assert lab.middle("PC2")[0] > before[0]
    press("x")
    expect(lab.running()).to_have_count(0)
    press("Delete")
    expect(lab.nodes).to_have_count(0)
    lab.page.locator("#picture").focus()
    press("Control+z")
    expect(lab.nodes).to_have_count(2)
    expect(lab.links).to_have_count(1)
    press("Control+y")
    expect(lab.nodes).to_have_count(0)
    press("?")
    expect(lab.page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_two_people_at_one_lab_see_each_others_changes(
    server: Server, project: str, browser: Browser, lab: LabPage
) -> None:
    lab.open(server, project)
    with visitor(browser) as other:
        other.open(server, project)
        lab.add("PC vpcs")
        expect(other.node("PC1")).to_be_visible()
        other.add("Switch")
        expect(lab.node("Switch1")).to_be_visible()
        lab.link("PC1", "Switch1")
        expect(other.links).to_have_count(1)
        lab.page.keyboard.press("Escape")
        lab.page.mouse.move(*lab.middle("PC1"))
        lab.page.mouse.down()
        x, y = lab.middle("PC1")
        lab.page.mouse.move(x - 200, y + 80, steps=4)
        moved = lab.node("PC1").get_attribute("transform")
        assert moved is not None
        lab.page.mouse.up()
        expect(other.node("PC1")).to_have_attribute("transform", moved)
        lab.node("PC1").focus()
        lab.page.keyboard.press("F2")
        lab.page.get_by_role("textbox", name="Name").fill("Router")
        lab.page.keyboard.press("Enter")
        expect(other.node("Router")).to_be_visible()
        other.page.get_by_role("button", name="Start all").click()
        expect(lab.running()).to_have_count(2)
        assert other.complaints == []


def test_a_refusal_is_told_in_the_servers_words(server: Server, project: str, lab: LabPage) -> None:
    lab.open(server, project)
    lab.add("PC vpcs")
    lab.page.get_by_role("button", name="Start all").click()
    expect(lab.page.get_by_role("alert")).to_contain_text("NIO")
    assert lab.complaints.pop().startswith("Failed to load resource: the server responded with a status of 409")


def test_names_are_shown_as_they_are_and_never_run(server: Server, lab: LabPage) -> None:
    hostile = "<img src=x onerror=alert(1)><b>'\"&amp;"
    project = server.project(name=hostile)
    server.vm(project, name=hostile)
    lab.open(server)
    expect(lab.page.get_by_role("heading", name=hostile)).to_be_visible()
    lab.open(server, project)
    expect(lab.page.locator("#title")).to_have_text(hostile)
    expect(lab.nodes.first).to_have_accessible_name(f"{hostile}, PC, stopped, 0 of 1 port linked")
    assert lab.page.locator("img").count() == 0
    server.http.delete(project)
