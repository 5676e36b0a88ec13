"""The server itself: its network interfaces, its end and its configuration (I-1, A-1, A-2)."""

import socket
from collections.abc import Iterable, Mapping
from typing import Any

from labplane import Forbidden, Plugin, Request, Route, Schema, hook


class Server(Plugin):
    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return {
            "Interface": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
                "required": ["id", "name"],
            }
        }

    @hook
    def routes(self) -> Iterable[Route]:
        interfaces: Schema = {"type": "array", "items": {"$ref": "labplane:Interface"}}
        return [
            Route("GET", "/v1/interfaces", self.interfaces, None, interfaces, 200, "List the network interfaces"),
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

    def interfaces(self, _: Request) -> Any:
        return [{"id": name, "name": name} for _, name in sorted(socket.if_nameindex())]

    def shutdown(self, _: Request) -> None:
        self._require_local("be shut down")
        self.lab.shutdown()

    def reload(self, _: Request) -> None:
        self._require_local("reload its configuration")
        self.lab.reload()

    def _require_local(self, what: str) -> None:
        if not self.lab.settings.local:
            raise Forbidden(f"Only a server in local mode (--local) can {what} over HTTP.")
