"""The log of an emulator's output: a file that is emptied at each start and stays within bounds."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

LIMIT = 1024 * 1024


class LogFile:
    """Empties the file `name` in `directory` and appends to it; when it has half a MiB, it is renamed to ``NAME.1``.

    When writing fails, as on a full disk, the log ends and the emulator goes on.

    complain: called with a sentence that says so.
    """

    def __init__(self, directory: Path, name: str, complain: Callable[[str], None] = lambda _: None) -> None:
        self._directory, self._name = directory, name
        self._complain = complain
        self._file: BinaryIO | None = None
        self._size = 0
        try:
            self._file = _emptied(self._path)
        except OSError as error:
            self._complain(f"{self._path} is not written: {error.strerror}")

    def write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file = self._append(self._file, data)
        except OSError as error:
            self.close()
            self._complain(f"{self._path} is not continued: {error.strerror}")

    @property
    def _path(self) -> Path:
        return self._directory / self._name

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, file: BinaryIO, data: bytes) -> BinaryIO:
        self._size += len(data)
        if self._size > LIMIT // 2:
            file.close()
            self._path.replace(self._directory / f"{self._name}.1")
            file = _emptied(self._path)
            self._size = len(data)
        file.write(data)
        return file


def _emptied(path: Path) -> BinaryIO:
    """The file `path`, new or emptied. A link is removed: the emulator may have made it, to a file of the server."""
    if path.is_symlink():
        path.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o666), "wb", buffering=0)
