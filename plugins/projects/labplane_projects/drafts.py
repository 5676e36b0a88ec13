"""Drafts: files and directories in the making, which a server that is killed leaves behind in projects."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

PREFIX = ".labplane-"  # of the name of each draft, whichever plugin makes it (F-4)


def drafts_below(root: Path, unreadable: Callable[[OSError], None]) -> Iterator[Path]:
    """Each draft below `root`, no draft within another one; links are not followed.

    unreadable: is told of each directory that cannot be read.
    """
    for folder, folders, files in os.walk(root, onerror=unreadable):
        yield from (Path(folder, name) for name in (*folders, *files) if name.startswith(PREFIX))
        folders[:] = [name for name in folders if not name.startswith(PREFIX)]
