"""The page of all labs: what one does with a lab as a whole, and that it follows what others do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from lab_page import LabPage, chromium_running, visitor
from support import Server, running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_running() as browser:
        yield browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "projects") as server:
        yield server


@pytest.fixture
def cards(server: Server, browser: Browser) -> Iterator[LabPage]:
    """The page with the cards, which meets no error."""
    with visitor(browser) as cards:
        cards.open(server)
        yield cards
        assert cards.complaints == []


def card(cards: LabPage, name: str) -> Locator:
    return cards.page.locator(".card", has=cards.page.get_by_role("link", name=name, exact=True))


def choose(cards: LabPage, name: str, item: str) -> None:
    """Choose an item of the menu of a card."""
    cards.page.get_by_role("button", name=f"More for {name}", exact=True).click()
    cards.page.get_by_role("menuitem", name=item).click()


def two_pcs(server: Server, name: str) -> str:
    """The path of a lab with two linked PCs."""
    project = server.project(name=name)
    ends = [{"vm_id": server.vm(project, name=f"PC{number}").rpartition("/")[2]} for number in (1, 2)]
    assert server.http.post(f"{project}/links", json={"ends": ends}).status_code == 201
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
    project = server.project(name="Once")
    choose(cards, "Once", "Close lab")
    cards.page.get_by_role("dialog").get_by_role("button", name="Close lab").click()
    expect(card(cards, "Once")).to_have_count(0)
    cards.page.get_by_role("button", name="Open a closed lab").click()
    cards.page.get_by_role("textbox", name="Id").fill(project.rpartition("/")[2])
    cards.page.keyboard.press("Enter")
    expect(cards.page).to_have_url(f"{server.url}/labs/{project.rpartition('/')[2]}")


def test_what_is_no_archive_leaves_nothing_behind(server: Server, cards: LabPage, tmp_path: Path) -> None:
    (tmp_path / "x.gns3project").write_bytes(b"no zip at all")
    cards.page.locator("#file").set_input_files(tmp_path / "x.gns3project")
    expect(cards.page.get_by_role("alert")).to_be_visible()
    assert server.http.get("/v1/projects").json() == []
    # 400 answers the import; 404 the card, if it was shown for the moment in which the lab was there.
    assert [line for line in cards.complaints if "400" not in line and "404" not in line] == []
    cards.complaints.clear()
