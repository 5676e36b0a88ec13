"""The lock of the projects directory: one server at a time works in it (C-3)."""

import fcntl
import os
from pathlib import Path

from labplane import Conflict

NAME = ".labplane.lock"


class Lock:
    """A lock on a file that holds the process id of its server; the kernel releases it however that process ends.

    Raises Conflict when another server has it, OSError when the file cannot be made.
    """

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(directory)
        except BaseException:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Let another server work in the directory."""
        os.close(self._file)

    def _take(self, directory: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            raise Conflict(
                f"Another labplane, process {owner or 'unknown'}, works in the projects directory {directory}; end it, "
                "or give this one another directory with --projects-dir."
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
