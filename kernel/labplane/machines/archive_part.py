"""`ArchivePart`: files that a plugin keeps in a project's directory, when the project travels as an archive."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arrival:
    """A project into which an archive is being imported.

    project_id: its id.
    name:       its name, which may come from the archive; None when neither has one.
    vm_ids:     the id of each VM in this project, by its id in the archive, both in lower case.
    """

    project_id: str
    name: str | None
    vm_ids: Mapping[str, str]


class ArchivePart:
    """Files of a plugin that lie in a project's directory, and what becomes of them in an export and an import.

    The plugin that exports and imports projects calls these methods, in a thread. Override those that you need.
    `root` is the project's directory, or the one into which an archive was unpacked: trust nothing in it.
    """

    def makes_lab(self, name: str) -> bool:
        """Whether a file of that name at the top of an archive says that the archive holds a lab."""
        return False

    def names(self, root: Path) -> Mapping[str, str]:
        """The name under which a file travels, by the file's path below `root`; other files travel under their own."""
        return {}

    def project_name(self, root: Path) -> str | None:
        """The project's name as the files below `root` have it; None when they have none."""
        return None

    def adopt(self, root: Path, arrival: Arrival) -> Iterable[str]:
        """Make the files below `root` those of the project that they arrive in.

        Returns a sentence about each file that had to be left as it is.
        """
        return ()
