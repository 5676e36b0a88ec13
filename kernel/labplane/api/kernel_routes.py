"""The kernel's own routes: its version, its plugins and the document of its API."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from starlette.responses import Response

from labplane.api.replies import JSONReply
from labplane.api.route import JSON, Request, Route
from labplane.errors import Conflict
from labplane.reports import Report
from labplane.settings import Settings
from labplane.validation.named import NAMED, ref
from labplane.validation.schemas import Schema

VERSION = "1.3.dev1"
FILE_NAME: Schema = {
    "allOf": [ref("Name")],
    "type": "string",
    "maxLength": 200,
    "pattern": r"^(?!\.)[^/\\]*$",
    "description": "the name of a file, without '/', '\\' and control characters, that does not begin with '.'",
}


def kernel_schemas() -> Mapping[str, Schema]:
    """Those that every schema may refer to; of the version (V-1, V-2), the error envelope (E-1), plugins' reports."""
    text: Schema = {"type": "string"}
    texts: Schema = {"type": "array", "items": text}
    report = {"name": text, "state": text, "distribution": text, "version": text, "api": text}
    lists = dict.fromkeys(("hooks", "kinds", "survives", "routes", "warnings", "unconfined"), texts)
    number: Schema = {"type": "integer"}
    maybe: Schema = {"type": ["string", "null"]}
    return {
        **NAMED,
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
        "VMPort": {
            "type": "object",
            "properties": {
                "adapter": number,
                "port": number,
                "name": text,
                "kind": text,
                "mac": maybe,
                "nio": {"type": ["object", "null"]},
            },
            "required": ["adapter", "port", "name", "kind", "mac", "nio"],
            "additionalProperties": False,
        },
        "Capture": {
            "type": "object",
            "properties": {"capture_file_name": FILE_NAME, "data_link_type": text},
            "required": ["capture_file_name"],
            "additionalProperties": False,
        },
        "CaptureFile": {"type": "object", "properties": {"pcap_file_path": text}, "required": ["pcap_file_path"]},
        "CaptureAtPort": {
            "type": "object",
            "properties": {"adapter": number, "port": number, "path": text},
            "required": ["adapter", "port", "path"],
        },
        "Plugin": {
            "type": "object",
            "properties": {**report, **lists, "error": maybe, "faults": {"type": "integer"}, "last_fault": maybe},
            "required": [*report, *lists, "error", "faults", "last_fault"],
            "additionalProperties": False,
        },
    }


def kernel_routes(
    settings: Callable[[], Settings],
    api_version: Callable[[str], str | None],
    reports: Callable[[], Iterable[Report]],
    document: Callable[[], Any],
) -> list[Route]:
    """The routes.

    settings:    gives the settings as they are now.
    api_version: asks the plugins for the version that a client with this User-Agent is told.
    reports:     gives what became of each plugin.
    document:    makes the OpenAPI document, in JSON types.
    """

    def version_for(request: Request) -> str:
        """The API version that this client is told (O-7): the setting, or with "auto" what a plugin says of it."""
        if (setting := settings().api_version) != "auto":
            return setting
        agent = next((value for name, value in request.scope["headers"] if name == b"user-agent"), b"")
        return api_version(agent.decode("latin-1")) or VERSION

    def version(request: Request) -> Any:
        return {"version": version_for(request), "local": settings().local}

    def check_version(request: Request) -> Any:
        wanted, ours = request.body["version"], version_for(request)
        if wanted != ours:
            raise Conflict(f"The client has version {wanted[:60]!r}, the server {ours!r}.")
        return {"version": wanted}

    def plugins(_: Request) -> Any:
        return [asdict(report) for report in reports()]

    @cache
    def rendered() -> bytes:
        return bytes(JSONReply(document()).body)

    def openapi(_: Request) -> Any:
        # Made when somebody asks first, and kept: once plugins are taken in it cannot change.
        return Response(rendered(), media_type=JSON)

    schema: Schema = ref("Version")
    listed: Schema = {"type": "array", "items": ref("Plugin")}
    return [
        Route("GET", "/v1/version", version, reply=schema, summary="The API version that this server speaks"),
        Route(
            "POST",
            "/v1/version",
            check_version,
            body=schema,
            reply=schema,
            summary="Compare the client's version with it",
            refusals=(409,),
        ),
        Route("GET", "/v1/plugins", plugins, reply=listed, summary="What became of each installed plugin"),
        Route("GET", "/v1/openapi.json", openapi, reply={"type": "object"}, summary="This document"),
    ]
