"""The metrics plugin: its route, and what is asked of the lab each time."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from starlette.responses import Response

from labplane import Lab, NotFound, Plugin, Request, Route, hook


class Metrics(Plugin):
    """The figures of this lab in the format of Prometheus (R-3)."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._version = version("labplane")

    @hook
    def routes(self) -> Iterable[Route]:
        shown = {"type": "string", "description": "families of samples, in the text format of Prometheus"}
        return [
            Route(
                "GET",
                "/metrics",
                self.metrics,
                reply=shown,
                media="text/plain",
                summary="VMs, ports, requests, faults and times, for Prometheus",
            )
        ]

    async def metrics(self, request: Request) -> Response:
        """R-3."""
        from labplane_metrics.families import (
            beside,
            exposition,
            families,
        )  # with a library that most servers never need

        reports = await self.lab.ask("GET", "/v1/plugins")
        faults = {report["name"]: report["faults"] for report in reports}
        made = families(self.lab, self._version, faults, await self._projects())
        accepted = b",".join(value for name, value in request.scope["headers"] if name == b"accept")
        text, media = exposition([*made, *beside(await self._beside())], accepted.decode("latin-1"))
        return Response(text, media_type=media)

    async def _beside(self) -> Mapping[str, Mapping[str, float]]:
        """The figures of the processes in which VMs run, by the name of each that is there."""
        found = {}
        for name, one in (("keeper", self.lab.terminals), ("engine", self.lab.engine)):
            with suppress(OSError):  # one that has just ended has no figures
                if (status := await one.status()) is not None:
                    found[name] = status
        return found

    async def _projects(self) -> int:
        try:
            return len(await self.lab.ask("GET", "/v1/projects"))
        except NotFound:  # no plugin here keeps projects
            return 0
