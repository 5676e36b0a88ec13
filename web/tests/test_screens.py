"""Machines whose console is a screen, work that takes long, and kinds that cannot start here."""

import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from playwright.sync_api import expect

from idle import Machine
from inprocess import Served, offering, own, serving
from lab_page import LabPage
from labplane import VM, ConsoleDriver, Schema, Session, Unavailable
from labplane.plugins.loading import installed
from rfb import Painting
from support import Server, until

pressed: list[int] = []


class Screened(ConsoleDriver):
    """Has a screen, or no console."""

    kind = "screened"
    properties: ClassVar[Mapping[str, Schema]] = {"console_type": {"enum": ["vnc", "none"], "default": "vnc"}}

    def console_type(self, vm: VM) -> str:
        return str(vm.settings["console_type"])

    async def screen(self, vm: VM) -> socket.socket:
        near, far = socket.socketpair()
        threading.Thread(target=Painting(far, pressed.append).serve, daemon=True).start()
        return near

    async def launch(self, vm: VM, session: Session) -> None:
        session.run(Machine(session))


class Missing(Screened):
    """Lacks its emulator."""

    kind = "missing"

    async def check(self) -> None:
        raise Unavailable("There is no emulator of such machines.")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    brought = [one for one in own() if one.name != "projects"]
    web = [one for one in installed() if one.distribution == "labplane-web"]
    with serving(tmp_path, [*brought, *web, offering(Screened, Missing)]) as served:
        yield served


def colour(lab: LabPage) -> Any:
    """What is in the middle of the screen."""
    return lab.page.evaluate(
        """() => {
            const canvas = document.querySelector(".screen canvas");
            return [...canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data];
        }"""
    )


def test_a_screen_is_seen_typed_at_and_comes_back(served: Served, lab: LabPage) -> None:
    project = served.project()
    vm = served.vm(project, "screened", name="Desk")
    served.vm(project, "screened", name="Deaf", console_type="none")
    assert served.http.post(f"{vm}/start").status_code == 204
    lab.page.goto(f"{served.url}/labs/{project.rpartition('/')[2]}")
    lab.ready()
    lab.page.mouse.dblclick(*lab.middle("Desk"))
    pane = lab.page.locator(".pane.console")
    expect(pane).to_have_attribute("data-state", "open")
    until(lambda: colour(lab) == [255, 0, 0, 255], "the picture")
    assert lab.violations() == []
    lab.page.keyboard.press("a")
    until(lambda: colour(lab) == [0, 0, 255, 255], "the picture after a key")
    lab.page.get_by_role("button", name="Ctrl+Alt+Del").click()
    until(lambda: pressed == [0x61, 0xFFE3, 0xFFE9, 0xFFFF], "the keys")
    lab.page.locator(".screen canvas").focus()
    assert served.http.post(f"{vm}/stop").status_code == 204
    expect(pane).to_contain_text("The machine does not run.")
    assert served.http.post(f"{vm}/start").status_code == 204
    expect(pane).to_have_attribute("data-state", "open")
    until(lambda: colour(lab) == [255, 0, 0, 255], "the picture after a restart")
    lab.page.keyboard.press("Tab")  # the keys still go there
    until(lambda: colour(lab) == [0, 0, 255, 255], "the picture after a key")
    lab.page.keyboard.press("F6")
    expect(lab.node("Desk")).to_be_focused()
    lab.page.mouse.dblclick(*lab.middle("Deaf"))
    expect(lab.page.get_by_text("Deaf has no console.")).to_be_visible()


def test_the_screen_of_a_real_guest_is_seen(server: Server, project: str, lab: LabPage) -> None:
    vm = server.vm(project, name="Desk", kind="qemu", console_type="vnc")
    assert server.http.post(f"{vm}/start").status_code == 204
    lab.open(server, project)
    lab.page.mouse.dblclick(*lab.middle("Desk"))
    expect(lab.page.locator(".pane.console")).to_have_attribute("data-state", "open")
    lit = """() => {
        const canvas = document.querySelector(".screen canvas");
        const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return canvas.width > 600 && dots.some((value, place) => place % 4 < 3 && value > 100);
    }"""
    until(lambda: lab.page.evaluate(lit), "the words of its BIOS")


def test_long_work_has_a_bar_and_a_kind_that_cannot_start_here_says_why(served: Served, lab: LabPage) -> None:
    project = served.project()
    path = served.vm(project, "screened", name="Slow")
    [vm] = served.lab.vms.of(project.rpartition("/")[2])
    lab.page.goto(f"{served.url}/labs/{project.rpartition('/')[2]}")
    lab.ready()
    expect(lab.page.get_by_role("button", name="missing cannot start here")).to_contain_text(
        "There is no emulator of such"
    )
    lab.page.mouse.click(*lab.middle("Slow"))
    expect(lab.page.locator("#connection")).to_have_attribute("data-state", "live")
    bar = lab.node("Slow").locator(".progress .done")
    served.call(vm.progress, 0.25, "The image is being copied.")
    expect(bar).to_have_attribute("width", "10")
    expect(lab.page.get_by_role("progressbar", name="The image is being copied.")).to_have_js_property("value", 0.25)
    expect(lab.node("Slow")).to_have_accessible_name(
        "Slow, screened, stopped, 0 of 1 port linked, The image is being copied."
    )
    assert lab.violations() == []
    served.call(vm.progress, 0.5, "The image is being copied.")
    expect(bar).to_have_attribute("width", "20")
    said = lab.page.locator(".messages").get_by_text("Slow: The image is being copied. 50 %")
    expect(said).to_have_count(1)
    expect(lab.page.locator(".messages").get_by_text("The image is being copied.")).to_have_count(1)
    served.call(vm.progress, 1.0, "The image is copied.")
    expect(bar).to_have_count(0)
    served.call(vm.progress, None, "It boots.")
    expect(bar).to_be_visible()
    assert served.http.put(path, json={"name": "Quick"}).status_code == 200
    expect(lab.node("Quick")).to_be_visible()
    expect(lab.page.locator(".progress")).to_have_count(0)
