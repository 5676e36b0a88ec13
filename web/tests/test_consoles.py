"""Consoles as tabs: several at once, found in, copied from, pasted to, larger and smaller, by mouse and by keyboard."""

from pathlib import Path

from playwright.sync_api import Browser, expect
from websockets.sync.client import connect

from lab_page import SHELLS, LabPage, visitor
from support import DEADLINE, Server, running

# Notes all that a page sends to consoles, and pastes a line when the first bytes of the first came and are not shown yet.
PASTES_EARLY = """
window.sent = [];
window.WebSocket = class extends WebSocket {
  constructor(...told) {
    super(...told);
    let early = !this.url.includes("aux");
    this.addEventListener("message", ({ data }) => {
      if (typeof data === "string" || !early) return;
      early = false;
      setTimeout(() => {
        const clipboardData = new DataTransfer();
        clipboardData.setData("text/plain", "echo pas''ted\\n");
        document.querySelector(".terminal textarea").dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
      });
    });
  }
  send(data) {
    window.sent.push(data);
    super.send(data);
  }
};
"""


def test_consoles_are_tabs_side_by_side_and_reached_by_keys(
    server: Server, project: str, pair: list[str], lab: LabPage
) -> None:
    for vm in pair:
        assert server.http.post(f"{vm}/start").status_code == 204
    lab.open(server, project)
    for name in ("PC1", "PC2"):
        expect(lab.console(name)).to_contain_text("VPCS>")
    tabs = lab.page.get_by_role("tab")
    expect(tabs).to_have_text(["Messages", "PC1", "PC2"])
    expect(lab.page.get_by_role("tab", name="PC2")).to_have_attribute("aria-selected", "true")
    lab.page.get_by_role("tab", name="PC2").focus()
    lab.page.keyboard.press("ArrowLeft")
    expect(lab.page.get_by_role("group", name="Console of PC1")).to_be_visible()
    expect(lab.page.get_by_role("group", name="Console of PC2")).to_be_hidden()
    lab.type("PC2", "set pcname HIDDEN")
    lab.page.get_by_role("tab", name="PC1").click()
    lab.page.get_by_role("button", name="Side by side").click()
    for name in ("PC1", "PC2"):
        expect(lab.page.get_by_role("group", name=f"Console of {name}")).to_be_visible()
    expect(lab.console("PC2")).to_contain_text("HIDDEN>")
    lab.page.keyboard.press("F6")
    expect(lab.page.locator(".node:focus")).to_have_count(1)
    lab.page.keyboard.press("F6")
    expect(lab.page.locator(".terminal textarea:focus")).to_have_count(1)
    lab.page.get_by_role("tab", name="PC2").focus()
    lab.page.keyboard.press("Delete")
    expect(tabs).to_have_text(["Messages", "PC1"])


def test_text_of_a_console_is_found_copied_and_pasted(
    server: Server, project: str, pair: list[str], browser: Browser
) -> None:
    assert server.http.post(f"{pair[0]}/start").status_code == 204
    with visitor(browser) as lab:
        lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
        lab.open(server, project)
        lab.type("PC1", "set pcname NEEDLE")
        expect(lab.console("PC1")).to_contain_text("NEEDLE>")
        lab.page.get_by_role("searchbox", name="Find in the console").fill("pcname NEEDLE")
        lab.page.keyboard.press("Enter")
        lab.page.keyboard.press("Escape")
        expect(lab.page.locator(".terminal textarea")).to_be_focused()
        lab.page.keyboard.press("Control+Shift+C")
        assert lab.page.evaluate("navigator.clipboard.readText()") == "pcname NEEDLE"
        lab.page.evaluate("navigator.clipboard.writeText('set pcname PASTED')")
        lab.page.keyboard.press("Control+Shift+V")
        lab.page.keyboard.press("Enter")
        expect(lab.console("PC1")).to_contain_text("PASTED>")
        rows = lab.console("PC1").locator("[role=listitem]")
        before = rows.count()
        lab.page.get_by_role("button", name="Larger text").click()
        lab.page.get_by_role("button", name="Larger text").click()
        expect(rows).not_to_have_count(before)
        lab.page.get_by_role("separator", name="Height of the consoles").focus()
        for _ in range(6):
            lab.page.keyboard.press("ArrowUp")
        expect(lab.console("PC1")).to_contain_text("Press '?' to get help.")
        assert rows.count() > before
        assert lab.complaints == []


def test_further_consoles_are_tabs_of_their_own(tmp_path: Path, lab: LabPage) -> None:
    """M-21."""
    with running(tmp_path / "projects", "--plugins-dir", str(SHELLS)) as server:
        project = server.project()
        vm = server.vm(project, "A", "shells")
        assert server.http.post(f"{vm}/start").status_code == 204
        lab.open(server, project)
        lab.node("A").focus()
        lab.page.keyboard.press("c")
        tabs = lab.page.get_by_role("tab")
        expect(tabs).to_have_text(["Messages", "A", "A aux"])
        first = lab.page.get_by_role("tab", name="A", exact=True)
        expect(first).to_have_attribute("aria-selected", "true")
        lab.type("A", "shell=first; echo o''k")
        expect(lab.console("A")).to_contain_text("ok")
        first.focus()
        lab.page.keyboard.press("ArrowRight")
        expect(lab.page.get_by_role("tabpanel", name="A aux")).to_be_visible()
        lab.type("A aux", 'echo "it is ${shell-another}"')
        expect(lab.console("A aux")).to_contain_text("it is another")
        assert lab.violations() == []
        lab.page.get_by_role("button", name="Side by side").click()
        for name in ("A", "A aux"):
            expect(lab.page.get_by_role("group", name=f"Console of {name}", exact=True)).to_be_visible()
        assert lab.violations() == []
        port = server.http.get(vm).json()["consoles"]["aux"]
        lab.page.mouse.click(*lab.middle("A"))
        expect(lab.page.locator(".details dl")).to_contain_text(f"Console aux{port}")
        assert server.http.put(vm, json={"name": "B"}).status_code == 200
        expect(tabs).to_have_text(["Messages", "B", "B aux"])
        expect(lab.console("B aux")).to_contain_text("it is another")
        lab.page.get_by_role("tab", name="B aux").focus()
        lab.page.keyboard.press("Delete")
        expect(tabs).to_have_text(["Messages", "B"])
        lab.page.mouse.dblclick(*lab.middle("B"))
        expect(tabs).to_have_text(["Messages", "B", "B aux"])
        expect(lab.console("B aux")).to_contain_text("it is another")  # what was printed before


def test_what_is_typed_while_old_output_is_shown_is_sent_and_old_questions_are_not_answered(
    tmp_path: Path, browser: Browser
) -> None:
    """A program asked the terminal where its cursor is before anybody looked."""
    with running(tmp_path / "projects", "--plugins-dir", str(SHELLS)) as server, visitor(browser) as lab:
        project = server.project()
        vm = server.vm(project, "A", "shells")
        assert server.http.post(f"{vm}/start").status_code == 204
        with connect(f"ws://127.0.0.1:{server.port}{vm}/console", proxy=None, open_timeout=DEADLINE) as console:
            console.send(r"printf '\e[6nasked\n'" + "\n")
            seen = b""
            while b"\x1b[6nasked" not in seen:
                piece = console.recv(timeout=DEADLINE)
                seen += piece if isinstance(piece, bytes) else b""
        lab.page.add_init_script(PASTES_EARLY)
        lab.open(server, project)
        expect(lab.console("A")).to_contain_text("pasted")
        lab.type("A", "echo do''ne")
        expect(lab.console("A")).to_contain_text("done")
        assert "".join(lab.page.evaluate("window.sent")) == "echo pas''ted\recho do''ne\r"
