"""Firefox for playwright, which speaks WebDriver BiDi with it.

Run as a program it is Firefox behind a relay: playwright expects the newest Firefox and asks for something that an
older one, such as Debian's, does not know and tests of pages do not need. The relay answers that.
"""

import asyncio
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

LISTENS = "WebDriver BiDi listening on"
UNKNOWN = "emulation.setMediaFeaturesOverride"


def firefox() -> str:
    """The path of the program."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    assert program, "install Firefox; on Debian: apt-get install firefox-esr"
    return program


@contextmanager
def firefox_running(playwright: Playwright, there: Path) -> Iterator[Browser]:
    """A Firefox without a window; `there` is an empty directory."""
    program = there / "firefox"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, __file__, firefox()])} "$@"\n')
    program.chmod(0o755)
    browser = playwright.firefox.launch(channel="moz-firefox", executable_path=program)
    try:
        yield browser
    finally:
        browser.close()


async def _main(command: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    url = ""
    async for line in process.stderr:
        if found := re.search(rf"{LISTENS} (ws://\S+)", line.decode(errors="replace")):
            url = found[1]
            break

    async def relay(client: ServerConnection) -> None:
        assert client.request is not None
        async with connect(url + client.request.path, max_size=None) as browser:

            async def forth() -> None:
                async for message in client:
                    asked = json.loads(message)
                    if asked["method"] == UNKNOWN:
                        await client.send(json.dumps({"type": "success", "id": asked["id"], "result": {}}))
                    else:
                        await browser.send(message)
                await browser.close()

            async def back() -> None:
                async for message in browser:
                    await client.send(message)
                await client.close()

            await asyncio.gather(forth(), back())

    async with serve(relay, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"{LISTENS} ws://127.0.0.1:{port}", file=sys.stderr, flush=True)
        async for _ in process.stderr:
            pass
    await process.wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
