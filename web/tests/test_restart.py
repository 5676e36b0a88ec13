"""The server is ended and started again while somebody looks: the lab, its machines and the bytes of consoles stay."""

import json
from pathlib import Path

from playwright.sync_api import expect
from websockets.sync.client import connect

from lab_page import chromium_running, visitor
from support import DEADLINE, Server, running


def two_pcs(server: Server) -> tuple[str, list[str]]:
    """A lab with two linked PCs that run."""
    project = server.project(name="Lasting")
    vms = [server.vm(project, name=f"PC{number}") for number in (1, 2)]
    ends = [{"vm_id": vm.rpartition("/")[2]} for vm in vms]
    assert server.http.post(f"{project}/links", json={"ends": ends}).status_code == 201
    for vm in vms:
        assert server.http.post(f"{vm}/start").status_code == 204
    return project, vms


def typed(server: Server, vm: str, line: str, words: str) -> None:
    """Somebody else types a line, and waits for the answer."""
    with connect(f"ws://127.0.0.1:{server.port}{vm}/console", proxy=None, open_timeout=DEADLINE) as console:
        console.send(f"{line}\n")
        seen = b""
        while words.encode() not in seen:
            piece = console.recv(timeout=DEADLINE)
            seen += piece if isinstance(piece, bytes) else b""


def test_the_page_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    """The lab is there, its machines run, and the console has each byte once: those that came meanwhile too."""
    with (
        running(tmp_path / "projects") as server,
        chromium_running() as browser,
        visitor(browser) as lab,
    ):
        project, vms = two_pcs(server)
        lab.open(server, project)
        lab.type("PC1", "set pcname FIRST")
        expect(lab.console("PC1")).to_contain_text("FIRST> ")
        server.kill()
        expect(lab.page.locator("#connection")).to_have_attribute("data-state", "gone")
        expect(lab.nodes).to_have_count(2)  # what was there is still shown
        with server.again(port=server.port) as again:
            typed(again, vms[0], "set pcname SECOND", "SECOND> ")
            expect(lab.page.locator("#connection")).to_have_attribute("data-state", "live")
            expect(lab.running()).to_have_count(2)
            expect(lab.page.locator(".pane.console")).to_have_attribute("data-state", "open")
            expect(lab.console("PC1")).to_contain_text("SECOND> ")
            lab.type("PC1", "set pcname THIRD")
            expect(lab.console("PC1")).to_contain_text("THIRD> ")
            lab.page.get_by_role("button", name="Smaller text").dblclick()
            shown = lab.console("PC1").inner_text()
            assert [shown.count(f"set pcname {name}") for name in ("FIRST", "SECOND", "THIRD")] == [1, 1, 1]
            assert shown.count("Press '?' to get help.") == 1


def test_bytes_are_numbered_on_over_a_restart(tmp_path: Path) -> None:
    """M-19."""
    with running(tmp_path / "projects") as server:
        _, vms = two_pcs(server)
        with connect(f"ws://127.0.0.1:{server.port}{vms[0]}/console?from=", proxy=None) as console:
            told, before = json.loads(console.recv(timeout=DEADLINE)), b""
            while b"VPCS> " not in before:
                piece = console.recv(timeout=DEADLINE)
                assert isinstance(piece, bytes)
                before += piece
        server.kill()
        with server.again() as again:
            typed(again, vms[0], "set pcname LATER", "LATER> ")
            place = {"run": told["run"], "offset": told["offset"] + len(before)}
            url = f"ws://127.0.0.1:{again.port}{vms[0]}/console?from={place['run']}:{place['offset']}"
            with connect(url, proxy=None) as console:
                assert json.loads(console.recv(timeout=DEADLINE)) == place
                piece = console.recv(timeout=DEADLINE)
                assert isinstance(piece, bytes)
                assert piece.startswith(b"set pcname LATER")
