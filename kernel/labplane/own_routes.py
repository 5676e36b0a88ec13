"""What the kernel answers for itself: its version, its plugins and the document of its API."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from labplane.errors import Conflict
from labplane.openapi import document
from labplane.replies import JSONReply
from labplane.routing import JSON, Request, Route
from labplane.schemas import PREFIX, Schema

if TYPE_CHECKING:
    from labplane.lab import Lab


def own_schemas() -> Mapping[str, Schema]:
    """Of the version (V-1, V-2), the error envelope (E-1) and the plugins' reports."""
    text: Schema = {"type": "string"}
    texts: Schema = {"type": "array", "items": text}
    report = {"name": text, "state": text, "distribution": text, "version": text, "api": text}
    lists = {"hooks": texts, "kinds": texts, "routes": texts, "warnings": texts}
    maybe: Schema = {"type": ["string", "null"]}
    return {
        "Version": {
            "type": "object",
            "properties": {"version": text, "local": {"type": "boolean"}},
            "required": ["version"],
            "additionalProperties": False,
        },
        "Error": {
            "type": "object",
            "properties": {"status": {"type": "integer"}, "message": {"type": "string", "minLength": 1}},
            "required": ["status", "message"],
        },
        "Plugin": {
            "type": "object",
            "properties": {**report, **lists, "error": maybe, "faults": {"type": "integer"}, "last_fault": maybe},
            "required": [*report, *lists, "error", "faults", "last_fault"],
            "additionalProperties": False,
        },
    }


def own_routes(lab: "Lab") -> list[Route]:
    def version(_: Request) -> Any:
        return {"version": lab.settings.api_version, "local": lab.settings.local}

    def check_version(request: Request) -> Any:
        wanted = request.body["version"]
        if wanted != lab.settings.api_version:
            raise Conflict(f"The client has version {wanted[:60]!r}, the server {lab.settings.api_version!r}.")
        return {"version": wanted}

    def plugins(_: Request) -> Any:
        return [asdict(report) for report in lab.plugins.reports]

    @cache
    def rendered() -> bytes:
        return bytes(JSONReply(document(lab)).body)

    def openapi(_: Request) -> Any:
        # Made when somebody asks first, and kept: once plugins are taken in it cannot change.
        return Response(rendered(), media_type=JSON)

    schema: Schema = {"$ref": PREFIX + "Version"}
    reports: Schema = {"type": "array", "items": {"$ref": PREFIX + "Plugin"}}
    return [
        Route("GET", "/v1/version", version, None, schema, 200, "The API version that this server speaks"),
        Route(
            "POST", "/v1/version", check_version, schema, schema, 200, "Compare the client's version with it", (409,)
        ),
        Route("GET", "/v1/plugins", plugins, None, reports, 200, "What became of each installed plugin"),
        Route("GET", "/v1/openapi.json", openapi, None, {"type": "object"}, 200, "This document"),
    ]
