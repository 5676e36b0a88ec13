"""What tests share: a real browser without a window that reaches nothing but this host."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

PATIENCE = 60_000.0  # milliseconds: browsers are slow beside others on two processors
OPTIONS = [
    "--disable-background-networking",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class Tab:
    """One tab of a browser.

    page:       what to look at and to click on.
    asked:      the addresses that it asked for, in that order.
    complaints: what it warned of in its console: exceptions, failed requests, breaches of a content security policy.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._note)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    def _note(self, request: Request) -> None:
        self.asked.append(request.url)


def chromium() -> str:
    """The path of the program."""
    program = shutil.which("chromium")
    assert program, "install Chromium; on Debian: apt-get install chromium"
    return program


@contextmanager
def browsing() -> Iterator[Tab]:
    """Chromium with one empty tab."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        try:
            page = browser.new_page()
            page.set_default_timeout(PATIENCE)
            yield Tab(page)
        finally:
            browser.close()
