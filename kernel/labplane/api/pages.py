"""Pages for browsers: files of a plugin under a content security policy that admits this server's files alone."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from labplane.api.route import Request, Route
from labplane.errors import NotFound

MEDIA: Mapping[str, str] = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
HEADERS: Mapping[str, str] = {
    "Accept-Ranges": "none",
    "Cache-Control": "no-cache",  # keep it, and ask each time whether it is still the same
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


def page_routes(path: str, page: Path, parts: Iterable[Path], summary: str) -> list[Route]:
    """The routes of a page: `path` answers with the file `page`, ``path/NAME`` with the part of that name.

    The files are HTML, JavaScript and CSS. The page may load from and ask this server only, inline scripts do not run,
    and it cannot be framed. A file that the client has already is not sent again.
    """
    files = {part.name: part for part in parts}

    async def show(request: Request) -> Response:
        return await _reply(page, request)

    async def show_part(request: Request) -> Response:
        name = request.path["part"]
        if name not in files:
            raise NotFound(f"The page at {path} has no part {name[:60]!r}.")
        return await _reply(files[name], request)

    return [
        Route("GET", path, show, summary=summary, media="text/html"),
        Route("GET", f"{path}/{{part}}", show_part, summary="A part of that page", refusals=(404,), offered=False),
    ]


async def _reply(file: Path, request: Request) -> Response:
    # The files are small, and Starlette would answer a bad range otherwise than with an error envelope.
    request.scope["headers"] = [header for header in request.scope["headers"] if header[0] != b"range"]
    response = await StaticFiles(directory=file.parent).get_response(file.name, request.scope)
    response.headers.update({"Content-Type": f"{MEDIA[file.suffix]}; charset=utf-8", **HEADERS})
    return response
