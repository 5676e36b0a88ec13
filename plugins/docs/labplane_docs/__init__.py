"""The page at /docs, which shows the API in a browser and lets one try it out, without the internet."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from labplane import Lab, Plugin, Route, Unavailable, hook, page_routes

PAGE = "page.html"
PARTS = ("page.js", "swagger_bundle.js", "swagger_style.css")


class Docs(Plugin):
    """Swagger UI, from the package offapi, for the document at /v1/openapi.json."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._page, *self._parts = (_file(name) for name in (PAGE, *PARTS))

    @hook
    def routes(self) -> Iterable[Route]:
        return page_routes("/docs", self._page, self._parts, "A page that shows this API")


def _file(name: str) -> Path:
    """The path of a file of this package or of offapi, which is not imported: it would read all its files then."""
    spec = find_spec("offapi")
    for folder in (Path(__file__).parent, *map(Path, (spec and spec.submodule_search_locations) or ())):
        if (folder / name).is_file():
            return folder / name
    raise Unavailable(f"The installed offapi brings no {name}; pip install --upgrade offapi labplane.")
