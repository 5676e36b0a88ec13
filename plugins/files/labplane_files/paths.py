"""Paths of files in a project: the ones that a client may name, and opening those files and no others (F-4)."""

import errno
import os
import posixpath
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from labplane import Conflict, Forbidden, LabError, NotFound

OURS = ".labplane-"


_unusable = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def contained(path: str) -> str:
    """`path` in its shortest form, relative to the project's directory. Only the text is looked at, not the disk.

    Raises Forbidden when it is absolute, leads out, is hidden at the top, or holds a character that paths may not.
    """
    short = posixpath.normpath(path)
    if not path or short.startswith(("/", ".")) or any(part.startswith(OURS) for part in short.split("/")):
        raise Forbidden(f"{path[:200]!r} is refused: name a file below the project's directory, not a hidden one.")
    if _unusable.search(path):
        raise Forbidden(f"{path[:200]!r} is refused: a path has neither backslashes nor control characters.")
    return short


class NoFile(Forbidden):
    """403: what has that name is a pipe, a socket or a device."""


def open_file(root: Path, path: str) -> IO[bytes]:
    """Open the regular file at `path` below `root` for reading. Raises Forbidden, NotFound or Conflict."""
    with _explained(path), _parent(root, path) as (parent, name):
        # Without O_NONBLOCK the open of a pipe would wait for its other end.
        number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        try:
            _require_regular(os.fstat(number), path)
        except BaseException:
            os.close(number)
            raise
        return open(number, "rb")


class Draft:
    """A file in the making, beside the file that it will replace, so that no reader ever sees half of it.

    Making one raises the same errors as `open_file`, except that the file may be missing.
    """

    def __init__(self, root: Path, path: str) -> None:
        self._path = path
        self._name = OURS + secrets.token_hex(8)
        with _explained(path), _parent(root, path) as (parent, self._target):
            mode = self._mode(parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            number = os.open(self._name, flags, 0o666, dir_fd=parent)
            self.file = open(number, "wb")  # noqa: SIM115 - open as long as this object
            if mode is not None:
                os.fchmod(self.file.fileno(), mode)
            self._parent = os.dup(parent)

    def keep(self) -> None:
        """Put the draft in the place of the file that it replaces."""
        self.file.close()
        with _explained(self._path):
            os.rename(self._name, self._target, src_dir_fd=self._parent, dst_dir_fd=self._parent)

    def close(self) -> None:
        """Delete the draft, unless it was kept."""
        self.file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._parent)
        os.close(self._parent)

    def _mode(self, parent: int) -> int | None:
        try:
            there = os.stat(self._target, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        _require_regular(there, self._path)
        return stat.S_IMODE(there.st_mode)


def files_below(root: Path, left_out: Callable[[str], None]) -> Iterator[str]:
    """The path of each file below `root` that a client can name, in a steady order; links to directories aside.

    left_out: is told, in a sentence each, of files and directories that are neither hidden nor nameable or readable.
    """

    def unreadable(error: OSError) -> None:
        if error.errno != errno.ENOENT:
            left_out(f"{readable(os.path.relpath(error.filename, root))} cannot be read: {error.strerror}.")

    for folder, folders, names in os.walk(root, onerror=unreadable):
        inside = os.path.relpath(folder, root)
        folders[:] = (name for name in sorted(folders) if _nameable(inside, name, left_out))
        for name in folders:
            path = posixpath.normpath(posixpath.join(inside, name))
            if (root / path).is_symlink():
                left_out(f"{readable(path)} is a symbolic link to a directory.")
        yield from (
            posixpath.normpath(posixpath.join(inside, name))
            for name in sorted(names)
            if _nameable(inside, name, left_out)
        )


def readable(path: str) -> str:
    """A path of the disk in quotes, with the bytes that are not UTF-8 as escapes."""
    return repr(os.fsencode(path[:200]).decode("utf-8", "backslashreplace"))


def _nameable(inside: str, name: str, left_out: Callable[[str], None]) -> bool:
    if name.startswith(OURS) or (inside == "." and name.startswith(".")):
        return False
    if not _unusable.search(name):
        return True
    path = readable(posixpath.normpath(posixpath.join(inside, name)))
    not_text = any("\ud800" <= character <= "\udfff" for character in name)
    left_out(f"The name of {path} is not UTF-8." if not_text else f"{path} has a control character or a backslash.")
    return False


@contextmanager
def _parent(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory that holds `path`, and the file's name in it, with all symbolic links resolved.

    After they are resolved no link is followed any more, so that a link which is slipped in meanwhile leads nowhere.
    """
    top = root.resolve()
    try:
        real = (top / contained(path)).resolve()
        loops = any(place.is_symlink() for place in (real, *real.parents))  # Python 3.13 leaves a loop unresolved
    except RuntimeError:  # earlier versions raise for a loop
        loops = True
    if loops:
        raise OSError(errno.ELOOP, "a loop")
    if real == top:
        raise Conflict(f"{path[:200]!r} is a directory.")
    if not real.is_relative_to(top):
        raise Forbidden(f"{path[:200]!r} is refused: a symbolic link on its way leads out of the project.")
    *folders, name = contained(str(real.relative_to(top))).split("/")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    number = os.open(top, flags)
    try:
        for folder in folders:
            above, number = number, os.open(folder, flags, dir_fd=number)
            os.close(above)
        yield number, name
    finally:
        os.close(number)


def _require_regular(found: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path[:200]!r} is a directory.")
    if not stat.S_ISREG(found.st_mode):
        raise NoFile(f"{path[:200]!r} is no regular file.")


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn an OSError about `path` into the LabError that the client gets."""
    kinds: dict[int | None, type[LabError]] = {
        errno.ENOENT: NotFound,
        errno.ENOTDIR: NotFound,
        errno.ENAMETOOLONG: NotFound,
        errno.EACCES: Forbidden,
        errno.EPERM: Forbidden,
        errno.EROFS: Forbidden,
        errno.ELOOP: Forbidden,
        errno.ENXIO: Forbidden,  # a socket
        errno.EINVAL: Forbidden,  # what was a link a moment ago
        errno.EISDIR: Conflict,
    }
    try:
        yield
    except OSError as error:
        if error.errno not in kinds:
            raise
        raise kinds[error.errno](f"{path[:200]!r} cannot be used: {error.strerror}.") from None
