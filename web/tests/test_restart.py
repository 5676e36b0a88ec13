"""The server is ended and started again while somebody looks: the lab, its machines and the bytes of consoles stay."""

import json
import re
from pathlib import Path

from playwright.sync_api import Browser, expect
from websockets.sync.client import connect

from lab_page import SHELLS, visitor
from support import DEADLINE, Server, running


def two_pcs(server: Server) -> tuple[str, list[str]]:
    """A lab with two linked PCs that run."""
    project = server.project(name="Lasting")
    vms = list(server.linked_pair(project))
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


def test_the_page_goes_on_when_the_server_comes_back(tmp_path: Path, browser: Browser) -> None:
    """The lab is there, its machines run, and the console has each byte once: those that came meanwhile too."""
    with running(tmp_path / "projects") as server, visitor(browser) as lab:
        project, vms = two_pcs(server)
        for number, vm in enumerate(vms, 1):
            typed(server, vm, f"ip 10.0.0.{number}/24", f"ip 10.0.0.{number}/24")
        lab.open(server, project)
        expect(lab.console("PC1")).to_contain_text("10.0.0.1 255.255.255.0")
        lab.type("PC1", "ping 10.0.0.2 -c 12 -i 250")
        expect(lab.console("PC1")).to_contain_text("icmp_seq=2 ")
        server.kill()
        expect(lab.page.locator("#connection")).to_have_attribute("data-state", "gone")
        expect(lab.nodes).to_have_count(2)  # what was there is still shown
        with server.again(port=server.port) as again:
            expect(lab.page.locator("#connection")).to_have_attribute("data-state", "live")
            expect(lab.running()).to_have_count(2)
            expect(lab.page.locator(".pane.console")).to_have_attribute("data-state", "open")
            expect(lab.console("PC1")).to_contain_text("icmp_seq=12 ")
            typed(again, vms[0], "set pcname SECOND", "SECOND> ")
            expect(lab.console("PC1")).to_contain_text("SECOND> ")
            lab.type("PC1", "set pcname THIRD")
            expect(lab.console("PC1")).to_contain_text("THIRD> ")
            for _ in range(3):  # the screen has room for all of it then
                lab.page.get_by_role("button", name="Smaller text").click()
            lab.page.locator("#edge").focus()
            for _ in range(8):
                lab.page.keyboard.press("ArrowUp")
            expect(lab.console("PC1")).to_contain_text("Press '?' to get help.")
            shown = lab.console("PC1").inner_text()
            assert re.findall(r"icmp_seq=(\d+) ", shown) == [str(number) for number in range(1, 13)]
            assert [shown.count(f"set pcname {name}") for name in ("SECOND", "THIRD")] == [1, 1]
            assert shown.count("Press '?' to get help.") == 1


def test_a_further_console_goes_on_too_and_follows_its_machine(tmp_path: Path, browser: Browser) -> None:
    with running(tmp_path / "projects", "--plugins-dir", str(SHELLS)) as server, visitor(browser) as lab:
        project = server.project()
        vm = server.vm(project, "A", "shells")
        assert server.http.post(f"{vm}/start").status_code == 204
        lab.open(server, project)
        lab.page.mouse.dblclick(*lab.middle("A"))
        lab.page.get_by_role("tab", name="A aux").click()
        lab.type("A aux", "for n in {1..6}; do echo line=$n; sleep 0.5; done")
        expect(lab.console("A aux")).to_contain_text("line=2")
        server.kill()
        pane = lab.page.get_by_role("tabpanel", name="A aux")
        expect(pane.get_by_role("status")).to_contain_text("The server does not answer")
        with server.again(port=server.port) as again:
            expect(lab.console("A aux")).to_contain_text("line=6")
            shown = re.findall(r"line=(\d+)", lab.console("A aux").inner_text())
            assert shown == list("123456")
            assert again.http.post(f"{vm}/stop").status_code == 204
            expect(pane.get_by_role("status")).to_have_text("The machine does not run.")
            assert again.http.post(f"{vm}/start").status_code == 204
            expect(pane).to_have_attribute("data-state", "open")
            lab.page.keyboard.type("echo ag''ain\n")
            expect(lab.console("A aux")).to_contain_text("again")


def test_a_screen_comes_back_and_takes_the_keys_again(tmp_path: Path, browser: Browser) -> None:
    """Whether the server ends, or the machine."""
    with running(tmp_path / "projects") as server, visitor(browser) as lab:
        project = server.project()
        vm = server.vm(project, "Desk", "qemu", console_type="vnc")
        assert server.http.post(f"{vm}/start").status_code == 204
        lab.open(server, project)
        lab.page.mouse.dblclick(*lab.middle("Desk"))
        pane = lab.page.get_by_role("tabpanel", name="Desk")
        expect(pane.locator("canvas:focus")).to_be_visible()
        expect(pane).to_have_attribute("data-state", "open")
        server.kill()
        expect(pane.get_by_role("status")).to_contain_text("The server does not answer")
        with server.again(port=server.port) as again:
            expect(pane).to_have_attribute("data-state", "open")
            expect(pane.locator("canvas:focus")).to_be_visible()
            assert again.http.post(f"{vm}/stop").status_code == 204
            expect(pane.get_by_role("status")).to_have_text("The machine does not run.")
            lab.page.keyboard.press("F6")
            expect(lab.node("Desk")).to_be_focused()
            assert again.http.post(f"{vm}/start").status_code == 204
            expect(pane).to_have_attribute("data-state", "open")
            expect(lab.node("Desk")).to_be_focused()  # who went elsewhere stays there


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
