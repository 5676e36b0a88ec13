"""A page at /docs on which a browser shows the API and tries it out; it needs no internet."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from labplane import Lab, NotFound, Plugin, Request, Route, Unavailable, hook

PAGE = "page.html"
PARTS: Mapping[str, str] = {
    "page.js": "text/javascript; charset=utf-8",
    "swagger_bundle.js": "text/javascript; charset=utf-8",
    "swagger_style.css": "text/css; charset=utf-8",
}
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",  # keep it, and ask each time whether it is still the same
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


class Docs(Plugin):
    """Swagger UI, as the package offapi carries it, over the document at /v1/openapi.json."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._folders = {name: _folder(name) for name in (PAGE, *PARTS)}

    @hook
    def routes(self) -> Iterable[Route]:
        return [
            Route("GET", "/docs", self.page, summary="A page that shows this API", media="text/html"),
            Route("GET", "/docs/{part}", self.part, summary="A part of that page", refusals=(404,), offered=False),
        ]

    async def page(self, request: Request) -> Response:
        return await self._file(PAGE, "text/html; charset=utf-8", request)

    async def part(self, request: Request) -> Response:
        name = request.path["part"]
        if name not in PARTS:
            raise NotFound(f"The page at /docs has no part {name[:60]!r}.")
        return await self._file(name, PARTS[name], request)

    async def _file(self, name: str, content_type: str, request: Request) -> Response:
        response = await StaticFiles(directory=self._folders[name]).get_response(name, request.scope)
        response.headers.update({"Content-Type": content_type, **HEADERS})
        return response


def _folder(name: str) -> Path:
    """Where that file is: here or in offapi, which is found and not imported, for then it would read all its files."""
    spec = find_spec("offapi")
    for folder in (Path(__file__).parent, *map(Path, (spec and spec.submodule_search_locations) or ())):
        if (folder / name).is_file():
            return folder
    raise Unavailable(f"The installed offapi brings no {name}; pip install --upgrade offapi labplane.")
