"""Files of other plugins in a project that travels: what their archive parts say and do."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from labplane import ArchivePart, Arrival, Lab

log = logging.getLogger("labplane.files")


class Parts:
    """The archive parts of all plugins, asked for one project.

    A part that raises is passed over: the log says why, and the files that it is for are taken as they are.
    """

    def __init__(self, lab: Lab, project_id: str) -> None:
        self._lab = lab
        self._project_id = project_id

    def make_lab(self, name: str) -> bool:
        """Whether a file of that name at the top of an archive makes it the archive of a lab."""
        return any(self._each(lambda part: part.makes_lab(name)))

    def names(self, root: Path) -> dict[str, str]:
        """The names under which files of the project in `root` travel, by path; no two files get one name."""
        wanted: dict[str, str] = {}
        for names in self._each(lambda part: part.names(root)):
            wanted |= {path: name for path, name in names.items() if name not in wanted.values()}
        return {path: name for path, name in wanted.items() if path == name or not (root / name).exists()}

    def project_names(self, root: Path) -> list[str]:
        """What the project in `root` is called, according to each part that knows."""
        return [name for name in self._each(lambda part: part.project_name(root)) if name is not None]

    def adopt(self, root: Path, name: str | None, vm_ids: Mapping[str, str]) -> list[str]:
        """Make the files in `root` the project's own; a sentence about each that stays as it is."""
        arrival = Arrival(self._project_id, name, vm_ids)
        return [sentence for said in self._each(lambda part: list(part.adopt(root, arrival))) for sentence in said]

    def _each(self, ask: Callable[[ArchivePart], Any]) -> Iterable[Any]:
        for part in self._lab.archive_parts:
            try:
                yield ask(part)
            except Exception:
                log.exception("project %s: %s failed at files of its own", self._project_id, type(part).__qualname__)
