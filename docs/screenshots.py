"""Makes the pictures of docs/web.md anew, with a real server and Chromium: run with tests/helpers on PYTHONPATH."""

import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from lab_page import LabPage, chromium_running, visitor
from support import Server, running

WHERE = Path(__file__).parent / "web"
PLACES = {"Switch1": (0, 0), "PC1": (-240, 110), "PC2": (0, -180), "PC3": (240, 110)}


def star(
    server: Server, name: str, count: int, places: dict[str, tuple[int, int]] | None = None
) -> tuple[str, list[str]]:
    """A lab with a switch in its middle: the paths of its project and of its machines."""
    project = server.project(name=name)
    vms = [server.vm(project, name="Switch1", kind="switch")]
    vms += [server.vm(project, name=f"PC{number + 1}") for number in range(count)]
    ids = [vm.rpartition("/")[2] for vm in vms]
    for one in ids[1:]:
        assert (
            server.http.post(f"{project}/links", json={"ends": [{"vm_id": one}, {"vm_id": ids[0]}]}).status_code == 201
        )
    if places is not None:
        nodes = [{"vm_id": one, "x": x, "y": y} for one, (x, y) in zip(ids, places.values(), strict=True)]
        assert server.http.patch(f"{project}/topology", json={"nodes": nodes}).status_code == 200
    return project, vms


def pictures(server: Server, lab: LabPage) -> None:
    project, vms = star(server, "Class 7b", 3, PLACES)
    star(server, "Exam, group 1", 5)
    star(server, "Campus", 7)
    for vm in vms:
        assert server.http.post(f"{vm}/start").status_code == 204
    lab.open(server)
    expect(lab.page.locator(".small rect")).to_have_count(4 + 6 + 8)
    lab.page.screenshot(path=WHERE / "labs.png")
    lab.open(server, project)
    for number in (1, 2):
        lab.type(f"PC{number}", f"ip 10.0.0.{number}/24")
    lab.page.get_by_role("button", name="Side by side").click()
    for number in (1, 2):
        expect(lab.console(f"PC{number}")).to_contain_text(f"10.0.0.{number} 255.255.255.0")
    lab.type("PC1", "ping 10.0.0.2 -c 3")
    expect(lab.console("PC1")).to_contain_text("icmp_seq=3 ttl=64")
    lab.page.mouse.click(*lab.middle("Switch1"))
    expect(lab.page.locator(".details")).to_contain_text("frames")
    lab.page.screenshot(path=WHERE / "lab.png")
    lab.page.emulate_media(color_scheme="dark")
    lab.page.mouse.click(*lab.middle("PC3"), button="right")
    lab.page.screenshot(path=WHERE / "lab-dark.png")
    lab.page.keyboard.press("Escape")
    lab.page.emulate_media(color_scheme="light")
    lab.page.get_by_role("button", name="Add a PC with settings").click()
    lab.page.screenshot(path=WHERE / "form.png")


def main() -> None:
    WHERE.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as there,
        running(Path(there) / "projects") as server,
        sync_playwright() as playwright,
        chromium_running(playwright) as browser,
        visitor(browser) as lab,
    ):
        pictures(server, lab)


if __name__ == "__main__":
    main()
