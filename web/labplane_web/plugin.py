"""The plugin: which files are the pages, and at which addresses they are."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labplane import Lab, Plugin, Route, Unavailable, hook, page_routes

HERE = Path(__file__).parent
PAGE, VENDOR = HERE / "page", HERE / "vendor"
BUILT = "xterm.js"


class Web(Plugin):
    """The cards of all labs at /, which the status page leaves to it, and the picture of one at /labs/{lab}."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        if not (VENDOR / BUILT).is_file():
            raise Unavailable("labplane-web was not built whole: it lacks xterm.js. Install it anew, with the network.")

    @hook
    def routes(self) -> Iterable[Route]:
        parts = [*sorted(PAGE.glob("*.js")), *sorted(PAGE.glob("*.css")), *VENDOR.glob("*.js"), *VENDOR.glob("*.css")]
        cards, part = page_routes("/web", PAGE / "cards.html", parts, "The labs of this server")
        picture, _ = page_routes("/labs/{lab}", PAGE / "lab.html", (), "The picture of one lab")
        return [replace(cards, path="/"), picture, part]
