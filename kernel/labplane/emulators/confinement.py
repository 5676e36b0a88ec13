"""What a program needs, and the Landlock ruleset that keeps it and its children from all else.

Landlock confines files since Linux 5.13, TCP since 6.7, signals and abstract Unix sockets since 6.12. Facts: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import functools
import os
import stat
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
LANDLOCK_RULE_NET_PORT = 2
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE = 1 << 0, 1 << 1, 1 << 2
CHANGE_DIRECTORY = sum(1 << bit for bit in range(4, 13))  # to remove and to make anything in it
REFER, TRUNCATE = 1 << 13, 1 << 14
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
SINCE = {1: EXECUTE | WRITE_FILE | READ_FILE | CHANGE_DIRECTORY, 2: REFER, 3: TRUNCATE}
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1 << 0, 1 << 1
TCP_SINCE, SCOPES_SINCE = 4, 6
ALL_PORTS = range(1 << 16)

# The files that the libraries of the system read, for themselves and for names, times and random numbers.
SYSTEM = (
    *("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sys/devices/system/cpu"),
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"),
    *("/etc/host.conf", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/ssl/certs"),
    *("/dev/zero", "/dev/urandom", "/dev/random"),
)
DEVICES = ("/dev/null", "/dev/tty")

# PyDLL keeps the interpreter's lock: none of these calls waits, and giving it up would cost more than all of them.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True)
class Needs:
    """What a confined program may do. Paths are absolute, and that of a directory stands for all below it.

    executes:     files that it may execute, and read; of a directory, all that is in it or below.
    reads:        paths that it may read besides those that the libraries of the system need.
    writes:       paths that it may read, write, make and remove.
    connects:     TCP ports to which it may connect, at any host; ``range(65536)`` stands for all.
    listens:      TCP ports on which it may listen; 0 stands for those that the system picks.
    capabilities: names such as CAP_NET_ADMIN (man 7 capabilities) of those that it keeps if the server has them.

    A path that does not exist is passed over.
    """

    executes: tuple[Path, ...] = ()
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    connects: Collection[int] = ()
    listens: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()


@functools.cache
def version() -> int:
    """The version of this kernel's Landlock interface; 0 when there is none or it is switched off."""
    found = _libc.syscall(
        ctypes.c_long(SYS_LANDLOCK_CREATE_RULESET),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint(LANDLOCK_CREATE_RULESET_VERSION),
    )
    return max(0, int(found))


def ruleset(needs: Needs) -> int:
    """A descriptor of what keeps a thread and its children from all but `needs`, see LANDLOCK_RESTRICT_SELF.

    A program's loader must be executable too, see `programs.closure`; it is a way out, as far as reading goes, for a
    program that can be told to execute the loader with arguments, not for one that hands commands to a shell. Raises
    OSError when the kernel refuses.
    """
    handled = _handled()
    attributes = struct.pack("=Q", handled)
    tcp = BIND_TCP if needs.connects == ALL_PORTS else BIND_TCP | CONNECT_TCP
    if version() >= TCP_SINCE:
        attributes += struct.pack("=Q", tcp)
    if version() >= SCOPES_SINCE:
        attributes += struct.pack("=Q", SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL)
    size = ctypes.c_size_t(len(attributes))
    rules = _call(SYS_LANDLOCK_CREATE_RULESET, attributes, size, ctypes.c_uint(0))
    try:
        for paths, rights in (
            (needs.executes, EXECUTE | READ_FILE),
            ((*_system(), *needs.reads), READ_FILE),
            ((*map(Path, DEVICES), *needs.writes), handled & ~EXECUTE),
        ):
            for path in dict.fromkeys(paths):
                _allow(rules, path, rights & handled)
        if version() >= TCP_SINCE:
            for ports, right in ((needs.connects, CONNECT_TCP), (needs.listens, BIND_TCP)):
                for port in set(ports) if right & tcp else ():
                    _add_rule(rules, LANDLOCK_RULE_NET_PORT, struct.pack("=QQ", right, port))
    except BaseException:
        os.close(rules)
        raise
    return rules


def confine(needs: Needs) -> None:
    """Keep the calling thread and its children from now on from all but `needs`; it cannot be undone.

    For a launcher of a driver that has to do first what a confined program cannot, as to make namespaces, and then
    executes the emulator in its place. Does nothing where Linux has no Landlock. Raises OSError when it refuses.
    """
    if not version():
        return
    rules = ruleset(needs)
    try:
        _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _call(SYS_LANDLOCK_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint(0))
    finally:
        os.close(rules)


def of_a_terminal() -> int:
    """The rights that a program has on its terminal."""
    return _handled() & OF_FILES & ~EXECUTE


def _handled() -> int:
    return sum(rights for since, rights in SINCE.items() if since <= version())


@functools.cache
def _system() -> list[Path]:
    """The paths of `SYSTEM`, without directories that are links into others of them, as ``/lib`` is in most systems."""
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
        _add_rule(ruleset, LANDLOCK_RULE_PATH_BENEATH, struct.pack("=Qi", rights, inode))
    finally:
        os.close(inode)


def _add_rule(ruleset: int, kind: int, rule: bytes) -> None:
    _call(SYS_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_uint(kind), rule, ctypes.c_uint(0))


def _call(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
