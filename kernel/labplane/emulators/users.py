"""The user as whom emulators run if not as the server's own, and the files that this user must own."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class User:
    """A user and its main group, by number."""

    uid: int
    gid: int


def user_named(name: str) -> User | None:
    """The user of that name; None when the server itself runs as that user.

    Raises ValueError when there is no such user, or the server is not root and so cannot run anything as another.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ValueError(f"there is no user {name!r} on this system") from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise ValueError(f"only root can run emulators as {name!r}; start the server as that user instead")
    return User(entry.pw_uid, entry.pw_gid)


def give(directory: Path, user: User) -> None:
    """Make `user` the owner of `directory` and of the files in it.

    No link is followed, and a file with several names stays as it is, since one of them may lie elsewhere.
    """
    top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(top, user.uid, user.gid)
        for _, _, names, folder in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            os.fchown(folder, user.uid, user.gid)
            for name in names:
                _give_file(name, folder, user)
    finally:
        os.close(top)


def _give_file(name: str, folder: int, user: User) -> None:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:  # it is a link or a socket, or was removed meanwhile
        return
    try:
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            os.fchown(file, user.uid, user.gid)
    finally:
        os.close(file)
