"""The page of all labs: what one does with a lab as a whole, and that it follows what others do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from lab_page import LabPage
from support import Server


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    """The server without any lab, as it is again afterwards."""
    for when in ("before", "after"):
        for path in ("/v1/closed-projects", "/v1/projects"):
            for project in server.http.get(path).json():
                assert server.http.post("/v1/projects", json={"project_id": project["project_id"]}).status_code == 201
                assert server.http.delete(f"/v1/projects/{project['project_id']}").status_code == 204
        if when == "before":
            yield server


@pytest.fixture
def cards(server: Server, lab: LabPage) -> LabPage:
    """The page with the cards, which meets no error."""
    lab.open(server)
    return lab


def card(cards: LabPage, name: str) -> Locator:
    return cards.page.locator(".card", has=cards.page.get_by_role("link", name=name, exact=True))


def choose(cards: LabPage, name: str, item: str) -> None:
    """Choose an item of the menu of a card."""
    cards.page.get_by_role("button", name=f"More for {name}", exact=True).click()
    cards.page.get_by_role("menuitem", name=item).click()


def two_pcs(server: Server, name: str) -> str:
    """The path of a lab with two linked PCs."""
    project = server.project(name=name)
    server.linked_pair(project)
    return project


def test_cards_follow_what_happens_on_the_server(server: Server, cards: LabPage) -> None:
    expect(cards.page.get_by_text("No lab yet")).to_be_visible()
    project = two_pcs(server, "Class 7b")
    expect(card(cards, "Class 7b")).to_contain_text("0 of 2 machines up")
    expect(card(cards, "Class 7b").locator(".small rect")).to_have_count(2)
    expect(card(cards, "Class 7b").locator(".small line")).to_have_count(1)
    choose(cards, "Class 7b", "Start all")
    expect(card(cards, "Class 7b")).to_contain_text("2 of 2 machines up")
    expect(card(cards, "Class 7b").locator(".small .up")).to_have_count(2)
    choose(cards, "Class 7b", "Stop all")
    expect(card(cards, "Class 7b")).to_contain_text("0 of 2 machines up")
    assert server.http.delete(project).status_code == 204
    expect(card(cards, "Class 7b")).to_have_count(0)
    expect(cards.page.locator("#host")).to_contain_text("labplane 1.")


def test_a_lab_is_exported_imported_duplicated_renamed_and_deleted(
    server: Server, cards: LabPage, tmp_path: Path
) -> None:
    two_pcs(server, "Original")
    choose(cards, "Original", "Duplicate")
    expect(card(cards, "Original (copy)")).to_contain_text("0 of 2 machines up")
    choose(cards, "Original (copy)", "Rename")
    cards.page.get_by_role("textbox", name="Name").fill("Second")
    cards.page.keyboard.press("Enter")
    expect(card(cards, "Second").locator(".small line")).to_have_count(1)
    with cards.page.expect_download() as download:
        choose(cards, "Second", "Export")
    assert download.value.suggested_filename == "Second.gns3project"
    archive = tmp_path / "Second.gns3project"
    download.value.save_as(archive)
    choose(cards, "Second", "Delete lab")
    cards.page.get_by_role("button", name="Cancel").click()
    expect(card(cards, "Second")).to_have_count(1)
    choose(cards, "Second", "Delete lab")
    cards.page.get_by_role("dialog").get_by_role("button", name="Delete lab").click()
    expect(card(cards, "Second")).to_have_count(0)
    cards.page.locator("#file").set_input_files(archive)
    expect(card(cards, "Second")).to_contain_text("0 of 2 machines up")


def test_a_closed_lab_is_opened_again(server: Server, cards: LabPage) -> None:
    cards.page.get_by_role("button", name="Open a closed lab").click()
    expect(cards.page.get_by_role("dialog")).to_contain_text("There is none")
    cards.page.get_by_role("button", name="Close", exact=True).click()
    project = server.project(name="Once")
    choose(cards, "Once", "Close lab")
    cards.page.get_by_role("dialog").get_by_role("button", name="Close lab").click()
    expect(card(cards, "Once")).to_have_count(0)
    cards.page.get_by_role("button", name="Open a closed lab").click()
    expect(cards.page.get_by_role("radio", name="Once")).to_be_checked()
    assert cards.violations() == []
    cards.page.keyboard.press("Enter")
    expect(cards.page).to_have_url(f"{server.url}/labs/{project.rpartition('/')[2]}")


def test_what_is_no_archive_leaves_nothing_behind(server: Server, cards: LabPage, tmp_path: Path) -> None:
    (tmp_path / "x.gns3project").write_bytes(b"no zip at all")
    cards.page.locator("#file").set_input_files(tmp_path / "x.gns3project")
    expect(cards.page.get_by_role("alert")).to_be_visible()
    assert server.http.get("/v1/projects").json() == []
    assert len(cards.complaints) == 1
    assert "status of 400" in cards.complaints.pop()


LAB = """name: by-file
nodes:
  PC1: {kind: vpcs}
  PC2: {kind: vpcs, position: [200, 0]}
links:
  - [PC1, PC2]
"""


def test_a_lab_file_makes_the_lab_or_says_which_lines_are_wrong(server: Server, cards: LabPage, tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(LAB.replace("vpcs", "nothing"))
    cards.page.locator("#file").set_input_files(path)
    dialog = cards.page.get_by_role("dialog", name="lab.yaml cannot be made")
    expect(dialog.get_by_role("listitem")).to_have_count(2)
    expect(dialog.get_by_role("listitem").first).to_contain_text("Line 3: ")
    assert cards.violations() == []
    dialog.get_by_role("button", name="Close", exact=True).click()
    assert "status of 400" in cards.complaints.pop()
    assert server.http.get("/v1/projects").json() == []
    path.write_text(LAB)
    cards.page.locator("#file").set_input_files(path)
    expect(card(cards, "by-file").locator(".small line")).to_have_count(1)
    expect(card(cards, "by-file")).to_contain_text("0 of 2 machines up")
