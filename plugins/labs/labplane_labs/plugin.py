"""The plugin of the server: the schema of lab files, and what this machine lacks for each kind of VM."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from labplane import BadRequest, Lab, LabError, Plugin, Request, Route, TooLarge, hook
from labplane_labs.schema import lab_schema

if TYPE_CHECKING:
    from labplane_labs.labfile import LabFile

LARGEST = 4 * 1024 * 1024  # bytes of a lab file


class Labs(Plugin):
    """Section 20 of docs/api.md."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._schema: dict[str, Any] | None = None
        self._turn = asyncio.Lock()

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
            Route(
                "POST",
                "/v1/labs",
                self.create,
                reply={"type": "object", "description": "the project"},
                status=201,
                summary="Make the lab of a file",
                refusals=(409,),
                streams=True,
            ),
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

    async def create(self, request: Request) -> Any:
        """Y-3."""
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > LARGEST:
                raise TooLarge(f"The lab is longer than {LARGEST} bytes.")
        schema = await self.schema(request)
        file = await asyncio.to_thread(_read, bytes(data), schema)
        # The lab is made to its end even if the client hangs up.
        return await asyncio.shield(self.lab.background(self._make(file)))

    async def _make(self, file: "LabFile") -> Any:
        from labplane_labs.making import make

        async with self._turn:  # or two of one name would both find that it is not there
            return await make(self.lab, file)


def _read(data: bytes, schema: Mapping[str, Any]) -> "LabFile":
    """The lab in a file. Raises BadRequest."""
    from labplane_labs.labfile import checked  # YAML is for those who need it: it would make each start slower
    from labplane_labs.problems import BadFile
    from labplane_labs.reading import Document, decoded

    try:
        return checked(Document("lab", decoded("lab", data)), schema)
    except BadFile as error:
        raise BadRequest(str(error)) from None


async def _lacks(check: Any) -> str | None:
    """What `check`, of a driver, complains of; None when all is there."""
    try:
        await check
    except LabError as error:
        return str(error)
    except Exception as error:
        return f"Its driver failed at its check: {type(error).__name__}: {error}"
    return None
