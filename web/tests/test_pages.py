"""What the pages are made of: their files, the API that they use, their policy, and whom they keep out: nobody."""

import json
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

import labplane_web.plugin
from inprocess import own, settings
from lab_page import LabPage, visitor
from labplane.kernel import Kernel
from labplane.plugins.loading import installed
from support import Server

PAGE = Path(labplane_web.plugin.PAGE)
KEYS = {"Enter", "Escape", "Delete", "Backspace", "Tab"}


@pytest.fixture
def project(server: Server, project: str, pair: list[str]) -> str:
    """A lab of two linked PCs, of which one runs."""
    assert server.http.post(f"{pair[0]}/start").status_code == 204
    return project


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(server: Server, project: str, browser: Browser, scheme: str) -> None:
    with visitor(browser) as lab:
        lab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        lab.open(server)
        lab.page.locator(".small rect").first.wait_for()
        assert lab.violations() == []
        lab.page.get_by_role("button", name="More for Own").click()
        assert lab.violations() == []
        lab.page.keyboard.press("Escape")
        lab.open(server, project)
        lab.console("PC1")
        assert lab.violations() == []
        lab.page.get_by_role("button", name="Add a PC with settings").click()
        assert lab.violations() == []
        lab.page.keyboard.press("Escape")
        lab.page.mouse.click(*lab.middle("PC2"), button="right")
        assert lab.violations() == []
        assert lab.complaints == []  # the policy of the page was kept to, consoles included


def test_a_phone_shows_the_lab_and_its_machines(server: Server, project: str, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 780}, has_touch=True)
    lab = LabPage(context.new_page())
    lab.open(server, project)
    expect(lab.nodes).to_have_count(2)
    x, y = lab.middle("PC1")
    lab.page.touchscreen.tap(x, y)
    expect(lab.page.locator(".details h3")).to_have_text("PC1")
    assert lab.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert lab.violations() == []
    context.close()


def test_a_lab_that_is_not_open_is_told_as_the_server_tells_it(server: Server, browser: Browser) -> None:
    with visitor(browser) as lab:
        lab.page.goto(f"{server.url}/labs/00000000-0000-4000-8000-000000000000")
        expect(lab.page.locator("#empty")).to_contain_text(
            "There is no open project 00000000-0000-4000-8000-000000000000"
        )
        assert [line for line in lab.complaints if "404" not in line] == []


def test_the_document_of_the_api_has_every_route_that_the_pages_use(server: Server) -> None:
    paths = [re.sub(r"{\w+}", "{}", path) for path in server.http.get("/v1/openapi.json").json()["paths"]]
    routes = (PAGE / "api.js").read_text()
    assert "fetch(" in routes
    for other in sorted(PAGE.glob("*.js")):
        assert other.name == "api.js" or "fetch(" not in other.read_text(), other.name
    places = re.findall(r'(?:json|request)\("\w+", ("[^"]+"|`[^`]+`|project\(id\)|vmPath\(vm\))', routes)
    assert len(places) == len(re.findall(r'(?:json|request)\("', routes))
    assert len(places) > 15
    known = {
        "project(id)": "v1/projects/{}",
        "vmPath(vm)": "v1/projects/{}/vpcs/vms/{}",
        "kind": "vpcs",
        "action": "start",
    }
    for place in places:
        path = place.strip('"`') if place.startswith(('"', "`")) else f"${{{place}}}"
        path = re.sub(r"\${([^}]+)}", lambda found: known.get(found[1], "{}"), path)
        assert f"/{path}" in paths, place


def test_every_file_is_served_with_its_type_and_the_policy(server: Server) -> None:
    parts = [*PAGE.glob("*.js"), *PAGE.glob("*.css"), *labplane_web.plugin.VENDOR.glob("*.js")]
    assert {"lab.js", "xterm.js"} < {part.name for part in parts}
    for part in parts:
        reply = server.http.get(f"/web/{part.name}")
        assert (reply.status_code, reply.content) == (200, part.read_bytes()), part.name
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert re.search(r"^import .*(https?:)?//", part.read_text()[:2000], re.MULTILINE) is None
    assert server.http.get("/web/plugin.py").status_code == 404


def test_no_file_of_ours_is_long() -> None:
    for path in PAGE.iterdir():
        assert len(path.read_text().splitlines()) <= 350, path.name


def test_all_words_are_in_one_file_and_each_is_used() -> None:
    files = {path.name: path.read_text() for path in PAGE.iterdir() if path.suffix in (".js", ".html")}
    texts = files.pop("text.js")
    for name, source in files.items():
        if name.endswith(".html"):
            shown = re.sub(r"<(title|noscript)>.*?</\1>|<[^>]*>", "", source)
            assert shown.strip() == "", name
            assert re.findall(r'\b(?:title|aria-label|placeholder)="', source) == [], name
        else:
            code = re.sub(r"^\s*//.*|\s//\s.*", "", source, flags=re.MULTILINE)
            assert set(re.findall(r"""["`']([A-Z][a-z]+(?: [a-z]+)*[.…!?]?)["`']""", code)) <= KEYS, name
    for word in re.findall(r"^  (\w+):", texts, re.MULTILINE):
        assert any(re.search(rf'\bT\.{word}\b|data-(text|name|tip)="{word}"', source) for source in files.values()), (
            word
        )


def test_what_is_not_built_is_left_out_and_the_server_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labplane_web.plugin, "VENDOR", tmp_path / "nothing")
    web = [one for one in installed() if one.distribution == "labplane-web"]
    lab = Kernel(settings(tmp_path), [*own(), *web])
    [report] = [report for report in lab.plugins.reports if report.state != "active"]
    assert (report.name, report.state) == ("web", "failed")
    assert "was not built whole" in (report.error or "")
    assert [route.yields for route in lab.routes.routes if route.path == "/"] == [True]


def test_the_lock_file_has_hashes_and_names_no_registry() -> None:
    lock = json.loads((Path(__file__).parents[1] / "package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert len(packages) >= 4
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_the_licences_of_what_npm_brought_are_with_it() -> None:
    licences = (labplane_web.plugin.VENDOR / "LICENSES.txt").read_text()
    for package in json.loads((Path(__file__).parents[1] / "package.json").read_text())["dependencies"]:
        assert f"{package} " in licences
    assert licences.count("Permission is hereby granted") >= 4
    assert distribution("labplane-web").version
