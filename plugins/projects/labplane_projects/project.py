"""A project: its JSON object and its directory."""

import asyncio
import errno
from pathlib import Path
from typing import Any, NamedTuple

from labplane import Conflict

MARKER = ".gns3_temporary"
UNUSABLE = (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Project:
    """A project from its creation until it is closed.

    path:     its directory, absolute.
    found:    its directory had files in it before the project was opened there.
    open:     whether requests find it: from the end of its creation until its last VM is removed.
    lock:     held while the project is opened, changed, committed or closed.
    """

    def __init__(self, project_id: str, name: str | None, path: Path) -> None:
        self.id = project_id
        self.name = name
        self.path = path
        self.temporary = False
        self.found = False
        self.lock = asyncio.Lock()
        self.open = False
        self.gone = False

    def to_object(self, location: Path) -> dict[str, Any]:
        """The project object of replies. location: the projects directory."""
        return {
            "project_id": self.id,
            "name": self.name,
            "path": str(self.path),
            "location": str(location),
            "temporary": self.temporary,
        }

    def settle(self, path: Path, temporary: bool) -> "Place":
        """Make the directory `path`, with or without the temporary mark (P-5, P-6); to be given to `settled`.

        Works on the disk alone, in a thread. Raises Conflict when it cannot be the project's directory, or when closing
        a temporary project would wipe files that were there before (B-28); the disk is then as before.
        """
        moves = path != self.path or not self.open
        try:
            found = _holds_files(path) if moves else self.found
            if temporary and found:
                raise Conflict(f"{path} has files in it; closing a temporary project there would delete them.")
            path.mkdir(parents=True, exist_ok=True)
            marker = path / MARKER
            if temporary:
                marker.write_text("1")
            else:
                marker.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in UNUSABLE:
                raise
            raise Conflict(f"{str(path)[:300]} cannot be the project's directory: {error.strerror}.") from None
        return Place(path, temporary, found)

    def settled(self, place: "Place") -> None:
        """Take `place` as the project's directory."""
        self.path, self.temporary, self.found = place


class Place(NamedTuple):
    """A directory of a project: whether it goes with the project, and whether it had files before."""

    path: Path
    temporary: bool
    found: bool


def _holds_files(path: Path) -> bool:
    return path.is_dir() and not (path / MARKER).exists() and any(path.iterdir())
