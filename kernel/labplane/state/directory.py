"""The data directory: where it is, who works in it, and what kind of file system it is on."""

import errno
import fcntl
import os
import stat
from pathlib import Path

import psutil

from labplane.errors import Conflict

LOCK = ".labplane.lock"
DATA = ".labplane"
READ_ONLY = (errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT)

# SQLite shares memory between connections, and locks bytes of files; over a network neither is to be relied on.
NETWORK = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4"),
    *("ocfs2", "smb2", "smb3", "smbfs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs"),
)


class Lock:
    """The lock of a projects directory, for one server at a time (C-3); Linux lets go of it however that one ends.

    It is on the file `.labplane.lock`, which has the process id of its server. Where there is none, and none can be
    made, it is on the directory itself.

    on_file: refuse to lock the directory instead.

    Raises Conflict when another server has it, OSError when the directory, or the file, cannot be opened.
    """

    def __init__(self, projects: Path, *, on_file: bool = False) -> None:
        self._file = _lock_file(projects, on_file)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = "" if self.on_directory else os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise Conflict(
                f"Another labplane, process {owner or 'unknown'}, works in the projects directory {projects}; end it, "
                "or give this one another directory with --projects-dir."
            ) from None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # the disk is full or read-only: the lock holds all the same
            pass

    @property
    def on_directory(self) -> bool:
        """Whether it is on the directory, for there is no file."""
        return stat.S_ISDIR(os.fstat(self._file).st_mode)

    def release(self) -> None:
        """Let another server work in the directory."""
        os.close(self._file)


def _lock_file(projects: Path, on_file: bool) -> int:
    try:
        return os.open(projects / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if on_file or error.errno not in READ_ONLY:
            raise
    try:
        return os.open(projects / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(projects, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)


def make_data_directory(projects: Path) -> Path:
    """The data directory below `projects`, made if it is missing; nobody but this user gets into it.

    Raises Conflict when it is none that can be used, OSError when it cannot be made.
    """
    directory = projects / DATA
    try:
        directory.mkdir(0o700)
    except FileExistsError:
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise Conflict(f"{directory} must be a directory of the server's own user; move it away.") from None
        if stat.S_IMODE(found.st_mode) != 0o700:
            directory.chmod(0o700)
    return directory


def refuse_network(directory: Path) -> None:
    """Raise Conflict when `directory` is on a file system of the network, on which no database is safe."""
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    place = next((place for place in (directory, *directory.parents) if place in mounts), None)
    if place is not None and mounts[place] in NETWORK:
        raise Conflict(
            f"{directory} is on a file system of the network ({mounts[place]} at {place}), on which the server's state "
            "is not safe; set projects_dir to a directory of this machine."
        )
