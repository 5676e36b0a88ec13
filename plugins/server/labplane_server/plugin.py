"""The server plugin: routes about the server itself and its host."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labplane import Forbidden, Lab, Plugin, Request, Route, Schema, hook, page_routes
from labplane_server.interfaces import INTERFACE, interfaces
from labplane_server.status import STATUS, Status

HERE = Path(__file__).parent


class Server(Plugin):
    """Interfaces (I-1), status (R-1, R-2), shutdown and reload (A-1, A-2)."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._status = Status(lab)

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return {"Interface": INTERFACE, "Status": STATUS}

    @hook
    def routes(self) -> Iterable[Route]:
        found: Schema = {"type": "array", "items": {"$ref": "labplane:Interface"}}
        parts = [HERE / "page.js", HERE / "page.css"]
        page, part = page_routes("/status", HERE / "page.html", parts, "A page that shows this server's status")
        return [
            replace(page, path="/", summary="The same page", yields=True),
            page,
            part,
            Route(
                "GET",
                "/v1/status",
                self.status,
                reply={"$ref": "labplane:Status"},
                summary="Version, projects with their VMs, ports, plugins and load",
            ),
            Route("GET", "/v1/interfaces", self.interfaces, reply=found, summary="List the network interfaces"),
            Route("POST", "/v1/server/shutdown", self.shutdown, status=201, summary="Stop the server", refusals=(409,)),
            Route(
                "POST",
                "/v1/config/reload",
                self.reload,
                status=201,
                summary="Read the configuration again",
                refusals=(409,),
            ),
        ]

    async def status(self, _: Request) -> Any:
        return await self._status.shown()

    async def interfaces(self, _: Request) -> Any:
        return await asyncio.to_thread(interfaces)

    def shutdown(self, _: Request) -> None:
        self._require_local("be shut down")
        self.lab.shutdown()

    def reload(self, _: Request) -> None:
        self._require_local("reload its configuration")
        self.lab.reload()

    def _require_local(self, what: str) -> None:
        if not self.lab.settings.local:
            raise Forbidden(f"Only a server in local mode (--local) can {what} over HTTP.")
