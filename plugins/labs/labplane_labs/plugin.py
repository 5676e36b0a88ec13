"""The plugin of the server: the schema of lab files, and what this machine lacks for each kind of VM."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from labplane import Lab, LabError, Plugin, Request, Route, hook
from labplane_labs.schema import lab_schema


class Labs(Plugin):
    """Section 20 of docs/api.md."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._schema: dict[str, Any] | None = None

    @hook
    def routes(self) -> Iterable[Route]:
        state = {"kind": {"type": "string"}, "message": {"type": ["string", "null"]}}
        kinds = {"type": "array", "items": {"type": "object", "properties": state, "required": list(state)}}
        return [
            Route(
                "GET",
                "/v1/lab.schema.json",
                self.schema,
                reply={"type": "object"},
                summary="The JSON Schema of lab files",
            ),
            Route("GET", "/v1/kinds", self.kinds, reply=kinds, summary="Which kinds of VM can start here"),
        ]

    async def schema(self, _: Request) -> Any:
        """Y-1."""
        if self._schema is None:  # the kinds do not change while the server runs
            reply: Response = await self.lab.ask("GET", "/v1/openapi.json")
            self._schema = lab_schema(json.loads(bytes(reply.body)))
        return self._schema

    async def kinds(self, _: Request) -> Any:
        """Y-2."""
        drivers = self.lab.drivers
        return [{"kind": kind, "message": await _lacks(drivers[kind].check())} for kind in sorted(drivers)]


async def _lacks(check: Any) -> str | None:
    """What `check`, of a driver, complains of; None when all is there."""
    try:
        await check
    except LabError as error:
        return str(error)
    except Exception as error:
        return f"Its driver failed at its check: {type(error).__name__}: {error}"
    return None
