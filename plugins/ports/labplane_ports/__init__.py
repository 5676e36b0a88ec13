"""The routes that lease UDP ports for links (section 6 of docs/api.md)."""

from collections.abc import Iterable, Mapping
from typing import Any

from labplane import Plugin, Request, Route, Schema, hook


class Ports(Plugin):
    """The plugin: one route leases a port without an owner (U-1), another one for a project (U-2)."""

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return {
            "UDPPort": {
                "type": "object",
                "properties": {"udp_port": {"$ref": "labplane:PortNumber"}},
                "required": ["udp_port"],
                "additionalProperties": False,
            }
        }

    @hook
    def routes(self) -> Iterable[Route]:
        reply: Schema = {"$ref": "labplane:UDPPort"}
        of_project = "/v1/projects/{project_id}/ports/udp"
        return [
            Route(
                "POST",
                "/v1/ports/udp",
                self.allocate,
                reply=reply,
                status=201,
                summary="Allocate a UDP port",
                refusals=(409,),
            ),
            Route(
                "POST",
                of_project,
                self.allocate_for_project,
                reply=reply,
                status=201,
                summary="Allocate a UDP port for a project",
                refusals=(409,),
            ),
        ]

    async def allocate(self, _: Request) -> Any:
        return await self._leased(None)

    async def allocate_for_project(self, request: Request) -> Any:
        self.lab.project_dir(request.project_id)  # it may have been closed while this request was on its way here
        return await self._leased(self.lab.project_owner(request.project_id))

    async def _leased(self, owner: str | None) -> Any:
        number = self.lab.udp.lease(owner)
        try:
            await self.lab.saved()
        except BaseException:
            self.lab.udp.release(number, owner)
            raise
        return {"udp_port": number}
