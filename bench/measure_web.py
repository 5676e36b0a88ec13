"""The pages for labs in a headless Chromium: how soon a picture is there, how smoothly it moves, what it weighs."""

import asyncio
import gzip
import shutil
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import Browser, Page, async_playwright

from bench.client import BenchError, encode
from bench.effort import Effort
from bench.lab import Lab
from bench.servers import labplane
from bench.table import Row

NODES = 300
SWITCHES = 50  # each with five PCs, of which a project has 255 at most
CONSOLES = 20
DRAG = 120  # moves of the mouse, one a frame
EVENTS = 20
OPTIONS = [
    "--disable-background-networking",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

# The least that any picture on a canvas does at each frame: it draws all nodes and links, with their names.
CANVAS = """<!doctype html><body style="margin:0"><canvas width=1280 height=800></canvas><script>
const context = document.querySelector("canvas").getContext("2d"), side = 18;
const nodes = Array.from({length: 300}, (_, i) => ({x: 40 + i % 20 * 62, y: 30 + Math.floor(i / 20) * 50}));
function draw() {
  context.clearRect(0, 0, 1280, 800);
  for (let i = 1; i < 300; i += 1) {
    context.beginPath(); context.moveTo(nodes[i - 1].x, nodes[i - 1].y); context.lineTo(nodes[i].x, nodes[i].y);
    context.stroke();
  }
  for (const [i, {x, y}] of nodes.entries()) {
    context.beginPath(); context.roundRect(x - side / 2, y - side / 2, side, side, 5); context.fill(); context.stroke();
    context.fillText("PC" + i, x - 10, y + 20);
  }
}
draw();
addEventListener("mousemove", ({x, y}) => { Object.assign(nodes[7], {x, y}); requestAnimationFrame(draw); });
</script>"""

FRAMES = """() => new Promise((resolve) => {
  const times = [];
  const step = (now) => times.push(now) < 90 ? requestAnimationFrame(step) : resolve(times);
  requestAnimationFrame(step);
})"""

PLACED = """(id) => {
  window.seen = [];
  const note = () => window.seen.push(performance.timeOrigin + performance.now());
  const node = document.querySelector(`[data-id="${id}"]`);
  new MutationObserver(note).observe(node, {attributes: true, attributeFilter: ["transform"]});
}"""


async def web(effort: Effort) -> list[Row]:
    """A lab of 300 machines, and one with 20 consoles."""
    async with _browser() as browser:
        with labplane() as server:
            lab = await Lab.of(server)
            project = await lab.project()
            vms = [await lab.vm(project) for _ in range(NODES - SWITCHES)]
            ids = [vm.rpartition("/")[2] for vm in vms]
            for number in range(SWITCHES):
                made = await lab.connection.call("POST", f"{project}/switch/vms", {"name": f"Switch{number}"}, 201)
                for one in ids[number : NODES - SWITCHES : SWITCHES]:
                    body = {"ends": [{"vm_id": one}, {"vm_id": made["vm_id"]}]}
                    await lab.connection.call("POST", f"{project}/links", body, 201)
                ids.append(made["vm_id"])
            places = [{"vm_id": one, "x": i % 20 * 120, "y": i // 20 * 120} for i, one in enumerate(ids)]
            await lab.connection.call("PATCH", f"{project}/topology", {"nodes": places}, 200)
            url = f"http://127.0.0.1:{server.port}/labs/{project.rpartition('/')[2]}"
            firsts, ours, floors, delays, weights = [], [], [], [], []
            for _ in range(effort.rounds):
                page = await browser.new_page(viewport={"width": 1280, "height": 800})
                weights.append(await _weight(page, url) / 1024)
                firsts.append(await page.evaluate("performance.getEntriesByName('picture')[0].startTime"))
                ours.append(await _dragged(page, await _middle(page, ids[7])))
                delays.append(await _delay(page, lab, project, ids[8]))
                await page.set_content(CANVAS)
                floors.append(await _dragged(page, (474.0, 30.0)))
                await page.close()
            for vm in vms[:CONSOLES]:
                await lab.connection.timed(encode("POST", f"{vm}/start", {}), 204)
            memory = [await _consoles(browser, url) for _ in range(effort.rounds)]
    return [
        Row(f"first picture of a lab of {NODES} machines", "ms", firsts, [], "at most 1 s", 1000),
        Row(
            "dragging one of them; floor: a bare canvas",
            "frames/s",
            ours,
            floors,
            "at least 0.95 of it",
            0.95,
            least=True,
        ),
        Row("from a change to the screen, p50", "ms", delays, [], "at most 100 ms", 100),
        Row("the page without consoles, compressed", "KiB", weights, [], "at most 300 KiB", 300),
        Row(f"{CONSOLES} open consoles", "MiB", memory, [], "at most 200 MiB", 200),
    ]


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        raise BenchError("there is no chromium on the PATH")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            yield browser
        finally:
            await browser.close()


async def _weight(page: Page, url: str) -> float:
    """Open the page; the bytes of all that came with it, each compressed by itself."""
    bodies: list[Any] = []
    page.on("response", lambda reply: bodies.append(reply))
    await page.goto(url)
    await page.locator("body[data-ready=true]").wait_for()
    await page.locator(".node").nth(NODES - 1).wait_for()
    return sum([len(gzip.compress(await reply.body())) for reply in bodies if "/v1/" not in reply.url])


async def _middle(page: Page, vm_id: str) -> tuple[float, float]:
    box = await page.locator(f'.node[data-id="{vm_id}"] .body').bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def _dragged(page: Page, start: tuple[float, float]) -> float:
    """The frames a second while something is dragged from there."""
    x, y = start
    await page.mouse.move(x, y)
    await page.mouse.down()
    frames = asyncio.ensure_future(page.evaluate(FRAMES))
    for step in range(DRAG):
        if frames.done():
            break
        await page.mouse.move(x + step % 60, y + step % 40)
        await asyncio.sleep(1 / 60)
    times = await frames
    await page.mouse.up()
    return float((len(times) - 1) * 1000 / (times[-1] - times[0]))


async def _delay(page: Page, lab: Lab, project: str, vm_id: str) -> float:
    """The median of the milliseconds from a request of somebody else to the change in this picture."""
    await page.evaluate(PLACED, vm_id)
    delays = []
    for number in range(EVENTS):
        began = time.time() * 1000
        body = {"nodes": [{"vm_id": vm_id, "x": 1000 + number, "y": 2000}]}
        await lab.connection.call("PATCH", f"{project}/topology", body, 200)
        while len(seen := await page.evaluate("window.seen")) <= number:
            await asyncio.sleep(0.005)
        delays.append(seen[number] - began)
    return float(sorted(delays)[len(delays) // 2])


async def _consoles(browser: Browser, url: str) -> float:
    """What the browser's processes grow by when 20 consoles are opened, one after the other."""
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await _weight(page, url)
    before = _memory(_family())
    await page.keyboard.press("Control+a")
    await page.locator("#picture").focus()
    await page.keyboard.press("Control+a")
    await page.keyboard.press("c")
    await page.locator("#tabs [role=tab]").nth(CONSOLES).wait_for()
    for number in range(1, CONSOLES + 1):
        await page.locator("#tabs [role=tab]").nth(number).click()
        await page.locator(".pane:not([hidden]) .xterm-screen").wait_for()
    grown = _memory(_family()) - before
    await page.close()
    return grown / 2**20


def _family() -> Iterable[psutil.Process]:
    """The processes of the browser, which are ours."""
    return [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]


def _memory(processes: Iterable[psutil.Process]) -> int:
    """What they have, shared parts counted once."""
    total = 0
    for one in processes:
        for line in Path(f"/proc/{one.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total
