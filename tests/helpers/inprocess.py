"""What tests share: a lab in this process, with plugins of the test's own, and a real HTTP server in front of it."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from starlette.types import ASGIApp

from labplane import Driver, Plugin, hook
from labplane.kernel import Kernel
from labplane.plugins.loading import Candidate, installed
from labplane.server.app import make_app
from labplane.settings import Settings
from labplane_projects import Projects
from support import free_range, until

PROJECTS = Candidate("projects", lambda: Projects, "labplane", "1")


def own() -> list[Candidate]:
    """What labplane itself brings; others that happen to be installed do not matter here."""
    return [candidate for candidate in installed() if candidate.distribution == "labplane"]


def settings(tmp_path: Path, **values: Any) -> Settings:
    """Settings with a projects directory of the test's own and port ranges that are free now."""
    ports = {"console_ports": free_range(20), "udp_ports": free_range(20)}
    return Settings(**{"projects_dir": str(tmp_path / "projects"), **ports, **values})


def offering(*drivers: type[Driver], name: str = "testing") -> Candidate:
    """A plugin that brings these drivers."""

    class Offering(Plugin):
        @hook
        def drivers(self) -> list[Driver]:
            return [driver(self.lab) for driver in drivers]

    return Candidate(name, lambda: Offering, "labplane-testing", "0.1")


class Served:
    """A lab behind uvicorn, in a thread of this process.

    url: where it answers.
    loop: its event loop, in that thread.
    """

    def __init__(self, lab: Kernel, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.lab = lab
        self.url = url
        self.loop = loop
        self.port = int(url.rsplit(":", 1)[1])
        self.http = httpx2.Client(base_url=url, timeout=20.0, trust_env=False)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of `function(*arguments)`, called on the server's loop."""

        async def called() -> Any:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(20)

    def project(self, **body: Any) -> str:
        """The path of a new project."""
        reply = self.http.post("/v1/projects", json=body)
        assert reply.status_code == 201, reply.text
        return f"/v1/projects/{reply.json()['project_id']}"

    def vm(self, project: str, kind: str, **body: Any) -> str:
        """The path of a new VM."""
        reply = self.http.post(f"{project}/{kind}/vms", json={"name": "A", **body})
        assert reply.status_code == 201, reply.text
        return f"{project}/{kind}/vms/{reply.json()['vm_id']}"


@contextmanager
def serving(
    tmp_path: Path,
    candidates: Sequence[Candidate],
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    **values: Any,
) -> Iterator[Served]:
    """A lab of `candidates` and the projects plugin, served over HTTP; around: wraps the application."""
    lab = Kernel(settings(tmp_path, **values), [PROJECTS, *candidates])
    config = uvicorn.Config(around(make_app(lab)), port=0, lifespan="on", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive(), "the server")
        address = server.servers[0].sockets[0].getsockname()
        served = Served(lab, f"http://{address[0]}:{address[1]}", loops[0])
        with served.http:
            yield served
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
        logging.getLogger("uvicorn.error").handlers.clear()
