"""What all tests of the pages share: one server for each process that runs them, one browser for each file.

While Playwright is there an event loop runs, which tests of other files may have none of.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from lab_page import LabPage, chromium_running, visitor
from support import Server, running


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with chromium_running(playwright) as browser:
        yield browser


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which other tests have labs too."""
    with running(tmp_path_factory.mktemp("web") / "projects") as server:
        yield server


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    """The path of a lab of the test's own, without machines."""
    project = server.project(name="Own")
    yield project
    server.http.delete(project)


@pytest.fixture
def lab(browser: Browser) -> Iterator[LabPage]:
    """A visitor who has met no error when the test is over."""
    with visitor(browser) as lab:
        yield lab
        assert lab.complaints == []


@pytest.fixture
def pair(server: Server, project: str) -> list[str]:
    """The paths of two linked PCs in that lab."""
    return list(server.linked_pair(project))
