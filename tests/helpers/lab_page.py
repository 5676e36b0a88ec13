"""What tests of the pages for labs share: a browser at a lab, and what one does there with mouse and keyboard."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from browser import OPTIONS, PATIENCE, Tab, chromium
from support import Server

SHELLS = Path(__file__).parent / "shells"  # a directory of plugins, whose machines have a further console

expect.set_options(timeout=PATIENCE)


@contextmanager
def chromium_running(playwright: Playwright) -> Iterator[Browser]:
    """A Chromium in which each visitor is one of its own: no cookies or settings of another."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def visitor(browser: Browser) -> Iterator["LabPage"]:
    """Somebody with an empty browser of a desktop's size."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        yield LabPage(page)
    finally:
        context.close()


class LabPage(Tab):
    """A tab at a lab, or at the cards of all labs.

    nodes, links: the elements of machines and links in the picture.
    """

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.nodes = page.locator(".node")
        self.links = page.locator(".link")

    def open(self, server: Server, project: str | None = None) -> None:
        """Go to the cards of a server, or to the lab with that path of a project."""
        where = "/" if project is None else f"/labs/{project.rpartition('/')[2]}"
        self.page.goto(server.url + where)
        self.ready()

    def ready(self) -> None:
        self.page.locator("body[data-ready=true]").wait_for()

    def violations(self) -> list[str]:
        """What axe-core finds that keeps people out of what is shown, one line for each rule."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']]}" for one in found]

    def node(self, name: str) -> Locator:
        return self.page.locator(".node", has=self.page.get_by_text(name, exact=True))

    def running(self) -> Locator:
        return self.page.locator(".node[data-status=started]")

    def add(self, kind: str) -> None:
        """Click on a kind in the palette and see the machine come."""
        count = self.nodes.count()
        self.page.get_by_role("button", name=kind, exact=True).click()
        expect(self.nodes).to_have_count(count + 1)

    def middle(self, name: str) -> tuple[float, float]:
        box = self.node(name).locator(".body").bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def link(self, one: str, other: str) -> None:
        """Drag from the first port of one machine to another machine, and see the link come."""
        count = self.links.count()
        self.page.mouse.move(*self.middle(one))
        self.page.locator("#ports .port:not(.taken)").first.hover()
        self.page.mouse.down()
        self.page.mouse.move(*self.middle(other), steps=3)
        self.page.mouse.up()
        expect(self.links).to_have_count(count + 1)

    def console(self, name: str) -> Locator:
        """The console of a machine, which is opened if it is not; what it shows can be read there."""
        pane = self.page.get_by_role("group", name=f"Console of {name}", exact=True)
        if not pane.is_visible():
            self.page.mouse.dblclick(*self.middle(name))
        pane.locator(".xterm-accessibility-tree").wait_for(state="attached")
        return pane.locator(".xterm-accessibility-tree")

    def type(self, name: str, line: str) -> None:
        """Type a line at the console of a machine."""
        self.console(name)
        self.page.get_by_role("group", name=f"Console of {name}", exact=True).locator("textarea").focus()
        self.page.keyboard.type(f"{line}\n")
