"""The OpenAPI 3.1 document, made from the same routes and schemas that serve requests."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from labplane.api.route import JSON, WEBSOCKET, Route
from labplane.errors import LabError
from labplane.validation.named import ref
from labplane.validation.schemas import PREFIX, Schema, Schemas, replace_references

_parameter = re.compile(r"{([a-z_]+)(?::([a-z]+))?}")

_CONVERTERS: Mapping[str, Schema] = {
    "str": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
    "path": {"type": "string"},
    "int": {"type": "integer", "minimum": 0},
    "float": {"type": "number", "minimum": 0},
    "uuid": ref("UUID"),
}

BYTES = "application/octet-stream"
_SECURITY: Mapping[str, Schema] = {
    "token": {"type": "http", "scheme": "bearer"},
    "password": {"type": "http", "scheme": "basic", "description": "any user; the token as password"},
}

# A body that is no JSON, a foreign web page, a slow client, one that sends too much, a bug, a busy server, a full disk.
ALWAYS = (400, 403, 408, 413, 431, 500, 503, 507)


def document(routes: Iterable[Route], schemas: Schemas, *, with_token: bool) -> dict[str, Any]:
    """The document, in JSON types, of the routes that are offered, without WebSockets: OpenAPI has no word for them.

    schemas:    the registry that the routes' schemas refer to.
    with_token: whether clients need the token.
    """
    routes = [route for route in routes if route.offered and route.method != WEBSOCKET]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_plain(route.path), {})[route.method.lower()] = _operation(
            route, schemas, with_token=with_token
        )
    errors: list[type[LabError]] = [LabError, *dict(_errors()).values()]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "labplane",
            "version": version("labplane"),
            "summary": "Runs emulated network machines, links them and gives each a console.",
            "description": "The GNS3 server API v1. The `labplane plugins` command tells which plugin brought what.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name} for name in sorted({_tag(route) for route in routes})],
        "paths": paths,
        **({"security": [{name: []} for name in _SECURITY]} if with_token else {}),
        "components": {
            "securitySchemes": _SECURITY,
            "schemas": {
                name: _rewritten(schema, f"#/components/schemas/{name}") for name, schema in schemas.named.items()
            },
            "responses": {
                cls.__name__: {"description": _description(cls), **_content({"$ref": PREFIX + "Error"}, JSON, "")}
                for cls in errors
            },
        },
    }


def _operation(route: Route, schemas: Schemas, *, with_token: bool) -> dict[str, Any]:
    here = f"#/paths/{_plain(route.path).replace('~', '~0').replace('/', '~1')}/{route.method.lower()}"
    success: dict[str, Any] = {"description": "Done"}
    if route.reply is not None or route.media != JSON:
        success |= _content(route.reply or {}, route.media, f"{here}/responses/{route.status}")
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [_tag(route)],
        "summary": route.summary or f"{route.method} {route.path}",
        "responses": {str(route.status): success, **_refusals(route, [401] if with_token else [])},
    }
    if parameters := [_path_parameter(name, kind) for name, kind in _parameter.findall(route.path)]:
        operation["parameters"] = parameters
    if route.streams:
        operation["requestBody"] = _content({}, BYTES, "")  # no body is an empty one
    elif route.body is not None:
        needed = schemas.compile(route.body, here).complaint({}) is not None
        operation["requestBody"] = {"required": needed, **_content(route.body, JSON, f"{here}/requestBody")}
    elif route.method not in ("GET", "DELETE"):
        operation["requestBody"] = {"description": "Ignored", **_content({}, JSON, "")}
    return operation


def _operation_id(route: Route) -> str:
    """An id that no other route has, below /v1 or not: get_status is /v1/status, get_page_status is /status."""
    path = _plain(route.path)
    where = [] if path.startswith("/v1/") else ["page"]
    return "_".join([route.method.lower(), *where, *re.findall(r"\w+", path.removeprefix("/v1"))])


def _refusals(route: Route, more: list[int]) -> dict[str, Any]:
    errors = dict(_errors())
    named = [404] if re.search("{(project_id|vm_id)}", route.path) else []
    return {
        str(status): {"$ref": f"#/components/responses/{errors.get(status, LabError).__name__}"}
        for status in sorted({*ALWAYS, *more, *named, *route.refusals})
    }


def _errors() -> Iterator[tuple[int, type[LabError]]]:
    """The error class that stands for each status."""
    for cls in reversed(LabError.__subclasses__()):
        yield cls.status, cls


def _description(cls: type[LabError]) -> str:
    sentence = (inspect.getdoc(cls) or "").split("\n\n")[0].split(": ", 1)[-1]
    return " ".join((sentence[:1].upper() + sentence[1:]).split())


def _content(schema: Schema, media: str, at: str) -> dict[str, Any]:
    pointer = f"{at}/content/{media.replace('/', '~1')}/schema"
    return {"content": {media: {"schema": _rewritten(schema, pointer)}}}


def _rewritten(schema: Schema, at: str) -> Any:
    """`schema` with references that lead to the same place within the document; at: where it stands there."""

    def follow(reference: str) -> str:
        if reference.startswith(PREFIX):
            return "#/components/schemas/" + reference.removeprefix(PREFIX).replace("#", "")
        return at + reference.removeprefix("#") if reference == "#" or reference.startswith("#/") else reference

    return replace_references(schema, follow)


def _path_parameter(name: str, converter: str) -> dict[str, Any]:
    kind = "uuid" if name in ("project_id", "vm_id") else converter or "str"
    return {"name": name, "in": "path", "required": True, "schema": _rewritten(_CONVERTERS[kind], "")}


def _plain(path: str) -> str:
    """The path without the types of its parameters."""
    return _parameter.sub(r"{\1}", path)


def _tag(route: Route) -> str:
    """The heading of the route: the kind of VM, or the first word of the path."""
    words = [step for step in route.path.removeprefix("/v1").split("/") if step and "{" not in step]
    return words[words.index("vms") - 1] if "vms" in words else [*words, "server"][0]
