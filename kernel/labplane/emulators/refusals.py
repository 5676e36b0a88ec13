"""Which file it is that keeps a program from being executed: the system says only that something does."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from labplane.emulators.programs import closure
from labplane.emulators.users import User


def refused_at(program: str, cwd: Path, user: User | None, error: OSError) -> Path | None:
    """The file or directory at which the start of `program` in `cwd` as `user` failed; None when nobody can tell.

    It blocks.
    """
    if isinstance(error.filename, str | bytes):
        return Path(os.fsdecode(error.filename))
    try:
        executed = closure(Path(program))
    except OSError as inner:
        return Path(os.fsdecode(inner.filename)) if inner.filename else Path(program)
    if error.errno == errno.ENOENT:
        return next((file for file in executed if not file.exists()), None)
    if error.errno not in (errno.EACCES, errno.EPERM):
        return None
    for file in executed:
        for path in (*_way_to(file), file):
            if not _may_execute(path, user):
                return path
    return next((path for path in (*_way_to(cwd), cwd) if not _may_execute(path, user)), None)


def _way_to(path: Path) -> Iterator[Path]:
    """The directories through which one has to go."""
    yield from reversed(path.absolute().parents)


def _may_execute(path: Path, user: User | None) -> bool:
    """Whether `user`, or this process, may execute a file or enter a directory, as far as its mode says."""
    if user is None:
        return os.access(path, os.X_OK)
    try:
        found = path.stat()
    except OSError:
        return True
    bit = stat.S_IXUSR if found.st_uid == user.uid else stat.S_IXGRP if found.st_gid == user.gid else stat.S_IXOTH
    return bool(found.st_mode & bit)
