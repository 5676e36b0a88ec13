"""The page at /docs shows the API in a real browser, with nothing from elsewhere, and serves nothing else."""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import labplane_docs
from browser import Tab, browsing
from inprocess import Served, own, serving, settings
from labplane.kernel import Kernel
from wire import Wire

ELSEWHERE = ["scalar.js", "__init__.py", "page.html", "", "../openapi.py", "%2e%2e/__init__.py", "..%2f__init__.py"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with all of labplane's own plugins."""
    with serving(tmp_path_factory.mktemp("docs"), [one for one in own() if one.name != "projects"]) as served:
        yield served


@pytest.fixture
def tab(served: Served) -> Iterator[Tab]:
    """A browser at /docs."""
    with browsing() as tab:
        tab.page.goto(f"{served.url}/docs")
        yield tab


def test_the_page_shows_every_operation_of_the_document_and_asks_nobody_else(served: Served, tab: Tab) -> None:
    document = served.http.get("/v1/openapi.json").json()
    summaries = [operation["summary"] for path in document["paths"].values() for operation in path.values()]
    assert "Create a vpcs VM" in summaries
    for summary in summaries:
        tab.page.get_by_text(summary, exact=True).wait_for()
    assert f"{served.url}/v1/openapi.json" in tab.asked
    assert [address for address in tab.asked if not address.startswith((f"{served.url}/", "data:"))] == []
    assert tab.complaints == []


def test_an_operation_can_be_tried_out_on_the_page(served: Served, tab: Tab) -> None:
    """A POST from the page passes the guard against web pages (B-17), and the reply is shown within its policy."""
    tab.page.get_by_text("Create or open a project", exact=True).click()
    tab.page.get_by_role("button", name="Try it out").click()
    tab.page.locator("textarea").fill('{"name": "From the page"}')
    tab.page.get_by_role("button", name="Execute").click()
    tab.page.locator(".live-responses-table").get_by_text("From the page").wait_for()
    assert [project["name"] for project in served.http.get("/v1/projects").json()] == ["From the page"]
    assert tab.complaints == []


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("/docs", "text/html"),
        ("/docs/page.js", "text/javascript"),
        ("/docs/swagger_bundle.js", "text/javascript"),
        ("/docs/swagger_style.css", "text/css"),
    ],
)
def test_each_part_has_its_content_type_and_is_sent_once(path: str, media: str, served: Served) -> None:
    first = served.http.get(path)
    assert (first.status_code, first.headers["content-type"]) == (200, f"{media}; charset=utf-8")
    assert first.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in first.headers["content-security-policy"]
    assert len(first.content) == int(first.headers["content-length"]) > 0
    again = served.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert served.http.head(path).headers["content-length"] == first.headers["content-length"]
    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_nothing_else_of_those_directories_is_served(name: str, served: Served) -> None:
    with Wire(served.port) as wire:
        reply = wire.call("GET", f"/docs/{name}")
    assert (reply.status, reply.headers["content-type"]) == (404, "application/json")


def test_the_package_with_the_files_is_not_imported(served: Served) -> None:
    """It would read all that it carries, far more than is asked for."""
    assert served.http.get("/docs/swagger_bundle.js").status_code == 200
    assert version("offapi")
    assert "offapi" not in sys.modules


def test_without_the_files_the_plugin_is_left_out_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labplane_docs, "find_spec", lambda _: None)
    lab = Kernel(settings(tmp_path), own())
    [report] = [report for report in lab.plugins.reports if report.state != "active"]
    assert (report.name, report.state, report.routes) == ("docs", "failed", [])
    assert "The installed offapi brings no swagger_bundle.js; pip install --upgrade" in (report.error or "")


def test_the_document_has_the_page_and_not_its_parts(served: Served) -> None:
    paths = served.http.get("/v1/openapi.json").json()["paths"]
    assert [path for path in paths if path.startswith("/docs")] == ["/docs"]
    assert list(paths["/docs"]["get"]["responses"]["200"]["content"]) == ["text/html"]
