"""The directories that open projects have, of which none may lie within another (P-3)."""

from collections.abc import Iterable
from pathlib import Path


class Places:
    """The directories of each project, by its id. What a question costs depends on the depth of a path alone."""

    def __init__(self) -> None:
        self._of_project: dict[str, frozenset[Path]] = {}
        self._at: dict[Path, str] = {}
        self._below: dict[Path, dict[Path, str]] = {}  # what lies below each directory, at any depth

    def put(self, project_id: str, paths: Iterable[Path]) -> None:
        """Let the project have these directories, in place of those that it had."""
        before, now = self._of_project.pop(project_id, frozenset()), frozenset(paths)
        for path in before - now:
            del self._at[path]
            for parent in path.parents:
                del self._below[parent][path]
                if not self._below[parent]:
                    del self._below[parent]
        for path in now - before:
            self._at[path] = project_id
            for parent in path.parents:
                self._below.setdefault(parent, {})[path] = project_id
        if now:
            self._of_project[project_id] = now

    def other_at(self, path: Path, project_id: str) -> str | None:
        """The id of another project that has `path`, a directory above it or one below it; None when there is none."""
        for place in (path, *path.parents):
            if self._at.get(place, project_id) != project_id:
                return self._at[place]
        return next((other for other in self._below.get(path, {}).values() if other != project_id), None)
