"""Pages: files of a plugin, under a policy that lets nothing else in."""

from collections.abc import Iterator

import pytest

from inprocess import Served, serving
from labplane import Plugin, hook, page_routes
from labplane.api.route import Route
from labplane.plugins.loading import Candidate
from wire import Wire

FILES = {"page.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose plugin has a page at /here, beside a file that is none of its parts."""
    home = tmp_path_factory.mktemp("pages")
    for name in (*FILES, "secret.js"):
        (home / name).write_text(name)

    class Here(Plugin):
        @hook
        def routes(self) -> list[Route]:
            return page_routes("/here", home / "page.html", [home / "page.js", home / "page.css"], "A page")

    with serving(home, [Candidate("here", lambda: Here, "labplane-here", "1")]) as served:
        yield served


@pytest.mark.parametrize("name", FILES)
def test_each_part_has_its_content_type_and_is_sent_once(name: str, served: Served) -> None:
    path = "/here" if name == "page.html" else f"/here/{name}"
    first = served.http.get(path)
    assert (first.status_code, first.text) == (200, name)
    assert first.headers["content-type"] == f"{FILES[name]}; charset=utf-8"
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    again = served.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert served.http.head(path).headers["content-length"] == first.headers["content-length"]
    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("range_", ["bytes=0-1", "bytes=5-2", "bytes=99-", "lines=1", "bytes=0-0,2-2", ""])
def test_whatever_range_is_asked_for_the_whole_is_sent(range_: str, served: Served) -> None:
    """A client must be ready for that (RFC 9110, 14.2)."""
    reply = served.http.get("/here/page.js", headers={"Range": range_})
    assert (reply.status_code, reply.text, reply.headers["accept-ranges"]) == (200, "page.js", "none")


@pytest.mark.parametrize("name", ["secret.js", "page.html", "", "../here", "%2e%2e/pages.py", "..%2fsecret.js"])
def test_nothing_else_of_that_directory_is_served(name: str, served: Served) -> None:
    with Wire(served.port) as wire:
        reply = wire.call("GET", f"/here/{name}")
    assert (reply.status, reply.headers["content-type"]) == (404, "application/json")


def test_the_document_has_the_page_and_not_its_parts(served: Served) -> None:
    paths = served.http.get("/v1/openapi.json").json()["paths"]
    assert [path for path in paths if path.startswith("/here")] == ["/here"]
    assert list(paths["/here"]["get"]["responses"]["200"]["content"]) == ["text/html"]
