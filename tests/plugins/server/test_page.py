"""The status page in a real browser: it shows what the server says, as text, and follows what happens."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from browser import Tab, browsing
from expect import nothing, shown
from machines import linked, start
from support import Server, free_range, running

QUIET = "[plugins.events]\nping_seconds = 3600\n"  # nothing but events makes the page look again

HOSTILE = '<script>document.title = "mine"</script><img src=x onerror="document.title = 1">'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that sends one ping to each listener."""
    (tmp_path / "labplane.toml").write_text(QUIET)
    with running(tmp_path / "projects", "--config", str(tmp_path / "labplane.toml")) as server:
        yield server


@pytest.fixture
def tab(server: Server) -> Iterator[Tab]:
    """A browser at the server's address, with the page up to date."""
    with browsing() as tab:
        tab.page.goto(f"{server.url}/status")
        until_it_says(tab.page.locator("#connection"), "live")
        yield tab


def until_it_says(where: Locator, text: str) -> None:
    where.filter(has_text=text).wait_for()


def row(tab: Tab, vm: str) -> Locator:
    """What the page shows of a VM."""
    return tab.page.locator(f'[id="{vm.rpartition("/")[2]}"]')


def fact(tab: Tab, name: str) -> Locator:
    return tab.page.locator("#facts div").filter(has_text=name)


def test_the_page_follows_a_vm_through_its_life(server: Server, tab: Tab) -> None:
    """R-2: from its creation to its end, without a word from the user and with nothing from elsewhere."""
    vm = linked(server, server.project(name="The lab"), name="PC1")
    until_it_says(tab.page.locator("article"), "The lab")
    until_it_says(row(tab, vm), "stopped")
    console = shown(server.http.get(vm))["console"]
    assert row(tab, vm).locator("td").all_inner_texts() == ["PC1", "vpcs", "stopped", str(console)]
    pid = start(server, vm)
    until_it_says(row(tab, vm), "started")
    link = row(tab, vm).get_by_role("link")
    assert link.inner_text() == link.get_attribute("href") == f"telnet://127.0.0.1:{console}"
    until_it_says(fact(tab, "VMs running"), "1 of 1")
    until_it_says(fact(tab, "Console ports"), f"1 used{console} · 39 of")
    until_it_says(fact(tab, "UDP ports"), f"1 used{server.udp[0]} · 39 of")
    os.kill(pid, signal.SIGKILL)
    until_it_says(row(tab, vm), "stopped")
    until_it_says(tab.page.locator("#messages"), "ended by signal 9")
    start(server, vm)
    until_it_says(row(tab, vm), "started")
    nothing(server.http.post(f"{vm}/stop"))
    until_it_says(row(tab, vm), "stopped")
    nothing(server.http.delete(vm))
    row(tab, vm).wait_for(state="detached")
    until_it_says(tab.page.locator("article"), "No VMs yet")
    until_it_says(fact(tab, "Console ports"), "0 used")
    assert [address for address in tab.asked if not address.startswith((f"{server.url}/", "data:"))] == []
    assert tab.complaints == []


def test_the_page_shows_version_plugins_and_load(server: Server, tab: Tab) -> None:
    """R-2: those of R-1."""
    status = shown(server.http.get("/v1/status"))
    assert tab.page.locator("h1").inner_text() == f"labplane {status['version']}"
    names = tab.page.locator("#plugins li > span:first-child").all_inner_texts()
    assert names == [plugin["name"] for plugin in status["plugins"]]
    until_it_says(tab.page.locator("#plugins li").filter(has_text="VMs of the kind vpcs"), "active")
    until_it_says(fact(tab, "Load"), f"{status['load']['processors']} processor")
    until_it_says(fact(tab, "Load"), "% busy")
    until_it_says(fact(tab, "Memory"), "% used")


def test_names_are_shown_as_they_are_and_never_run(server: Server, tab: Tab) -> None:
    """R-2: wherever a name comes to stand, in a message too."""
    vm = linked(server, server.project(name=HOSTILE), name=HOSTILE)
    os.kill(start(server, vm), signal.SIGKILL)
    until_it_says(tab.page.locator("#messages"), "<script>")
    until_it_says(row(tab, vm), "stopped")
    assert row(tab, vm).locator("td").first.inner_text() == HOSTILE
    assert tab.page.locator("h3").filter(has_text=HOSTILE).count() == 1
    assert tab.page.locator("main script, main img").count() == 0
    assert tab.page.title() == "labplane"
    assert tab.complaints == []


def test_what_does_not_change_keeps_the_focus(server: Server, tab: Tab) -> None:
    project = server.project()
    vm = linked(server, project)
    start(server, vm)
    link = row(tab, vm).get_by_role("link")
    link.focus()
    other = server.vm(project, "Another")
    until_it_says(row(tab, other), "stopped")
    nothing(server.http.delete(other))
    row(tab, other).wait_for(state="detached")
    assert link.evaluate("link => link === document.activeElement")


def test_a_page_says_that_its_server_is_gone_and_comes_back_with_it(tmp_path: Path) -> None:
    """R-2."""
    consoles, udp = free_range(5), free_range(5)
    with browsing() as tab:
        with running(tmp_path / "projects", consoles=consoles, udp=udp) as server:
            tab.page.goto(f"{server.url}/status")
            project = server.project(name="Of the first")
            server.vm(project)
            until_it_says(tab.page.locator("article"), "Of the first")
        until_it_says(tab.page.locator("#connection"), "disconnected since")
        until_it_says(tab.page.locator("article"), "Of the first")
        with running(tmp_path / "projects", port=server.port, consoles=consoles, udp=udp) as second:
            until_it_says(tab.page.locator("#connection"), "live")
            until_it_says(tab.page.locator("article"), "Of the first")
            nothing(second.http.delete(project))
            tab.page.get_by_text("No project is open").wait_for()


def test_who_shows_the_token_is_let_in_to_the_page_and_its_events(tmp_path: Path) -> None:
    """R-2, T-14: the page asks with the cookie of the browser, and has the form shown when that is worth no more."""
    token = tmp_path / "token"
    options, environment = ("--auth", "token", "--token-file", str(token)), {"LABPLANE_DISABLED": "web"}
    with running(tmp_path / "projects", *options, environment=environment) as server, browsing() as tab:
        server.http.headers["authorization"] = f"Bearer {token.read_text().strip()}"
        tab.page.goto(f"{server.url}/status")
        tab.page.get_by_label("Token of this server").fill(token.read_text().strip())
        tab.page.get_by_role("button", name="Enter").click()
        until_it_says(tab.page.locator("#connection"), "live")
        vm = server.vm(server.project())
        until_it_says(row(tab, vm), "stopped")
        tab.page.context.clear_cookies()
        server.vm(server.project())
        tab.page.get_by_label("Token of this server").wait_for()


def test_without_events_the_page_looks_now_and_then(tmp_path: Path) -> None:
    """And says that it is not up to date; nor does it point to an address at which no console can be reached."""
    environment = {"LABPLANE_DISABLED": "events"}
    options = ("--console-host", "0.0.0.0", "--insecure-consoles")
    with running(tmp_path / "projects", *options, environment=environment) as server, browsing() as tab:
        tab.page.goto(f"{server.url}/status")
        until_it_says(tab.page.locator("#connection"), "connecting")
        vm = linked(server, server.project())
        start(server, vm)
        until_it_says(row(tab, vm), f"telnet://127.0.0.1:{server.consoles[0]}")
