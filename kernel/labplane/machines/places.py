"""Where the files of a VM are: below those of its project."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labplane.machines.lab import Lab


def directory_in(project: Path, kind: str, vm_id: str) -> Path:
    """The working directory of a VM of the project in that directory (C-3)."""
    return project.joinpath("project-files", kind, vm_id)


def directory_of(lab: "Lab", project_id: str, kind: str, vm_id: str) -> Path:
    """The working directory of a VM of an open project."""
    return directory_in(lab.project_dir(project_id), kind, vm_id)
