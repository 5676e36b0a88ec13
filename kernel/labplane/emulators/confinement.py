"""What a thread and its children can be kept from with Landlock: executing, reading and writing what is not theirs.

Linux 5.13 and later. Facts: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import functools
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE = 1 << 0, 1 << 1, 1 << 2
CHANGE_DIRECTORY = sum(1 << bit for bit in range(4, 13))  # to remove and to make anything in it
REFER, TRUNCATE = 1 << 13, 1 << 14
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
SINCE = {1: EXECUTE | WRITE_FILE | READ_FILE | CHANGE_DIRECTORY, 2: REFER, 3: TRUNCATE}

# What a program needs that is linked to the libraries of the system and asks it for names, times and randomness.
SYSTEM = (
    *("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sys/devices/system/cpu"),
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"),
    *("/etc/host.conf", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/ssl/certs"),
    *("/dev/zero", "/dev/urandom", "/dev/random"),
)
DEVICES = ("/dev/null", "/dev/tty")

# None of these calls waits for anything, and giving up the interpreter's lock for one would cost more than all of them.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True)
class Needs:
    """What a confined program may do: absolute paths of files, and of directories with all below them.

    executes: files that it may execute, and read.
    reads:    what it may read besides what the libraries of the system need.
    writes:   what it may read, write, make and remove.

    What does not exist is passed over.
    """

    executes: tuple[Path, ...] = ()
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()


@functools.cache
def version() -> int:
    """Of Landlock in this kernel; 0 when it has none or it is switched off."""
    found = _libc.syscall(
        ctypes.c_long(SYS_LANDLOCK_CREATE_RULESET),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint(LANDLOCK_CREATE_RULESET_VERSION),
    )
    return max(0, int(found))


def confine(needs: Needs) -> None:
    """From now on the calling thread and its children can do no more than what it needs, and gain no privileges.

    Cannot be undone. A program's loader must be executable too, see `programs.closure`; it is a way out, as far as
    reading goes, for a program that can be told to execute the loader with arguments, not for one that hands commands
    to a shell. Raises OSError when the kernel refuses.
    """
    handled = sum(rights for since, rights in SINCE.items() if since <= version())
    ruleset = _call(SYS_LANDLOCK_CREATE_RULESET, struct.pack("=Q", handled), ctypes.c_size_t(8), ctypes.c_uint(0))
    try:
        for paths, rights in (
            (needs.executes, EXECUTE | READ_FILE),
            ((*_system(), *needs.reads), READ_FILE),
            ((*map(Path, DEVICES), *needs.writes), handled & ~EXECUTE),
        ):
            for path in dict.fromkeys(paths):
                _allow(ruleset, path, rights & handled)
        _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _call(SYS_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


@functools.cache
def _system() -> list[Path]:
    """Of SYSTEM, no directories that lead to below others of them, as ``/lib`` does in most systems."""
    paths = [Path(path) for path in SYSTEM]
    own = [path for path in paths if path.is_dir() and not path.is_symlink()]
    return [path for path in paths if not (path.is_dir() and any(one in path.resolve().parents for one in own))]


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        inode = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if rights & ~OF_FILES and not stat.S_ISDIR(os.fstat(inode).st_mode):
            rights &= OF_FILES
        rule = struct.pack("=Qi", rights, inode)
        kind = ctypes.c_uint(LANDLOCK_RULE_PATH_BENEATH)
        _call(SYS_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), kind, rule, ctypes.c_uint(0))
    finally:
        os.close(inode)


def _call(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
