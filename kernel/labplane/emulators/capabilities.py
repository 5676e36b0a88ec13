"""The capabilities of a thread that starts a program: it drops all but those that the program needs (man 7).

All calls here change the calling thread alone, since each is a bare system call.
"""

import ctypes
import os
import struct
from collections.abc import Collection

# By number, from linux/capability.h.
NAMES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST"),
    *("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO"),
    *("CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE"),
    *("CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE"),
    *("CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM"),
    *("CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"),
)
SETPCAP = 1 << NAMES.index("CAP_SETPCAP")
BITS = 64
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
LINUX_CAPABILITY_VERSION_3 = 0x20080522
HEADER = struct.pack("=Ii", LINUX_CAPABILITY_VERSION_3, 0)

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


def numbers(names: Collection[str]) -> frozenset[int]:
    """The numbers of the capabilities of these names. Raises ValueError for a name that there is not."""
    if unknown := sorted(set(names) - set(NAMES)):
        raise ValueError(f"{unknown[0]!r} is no capability; their names are those of man 7 capabilities")
    return frozenset(map(NAMES.index, names))


def limit(kept: Collection[int]) -> None:
    """Let no program that the thread executes have any but `kept`, and let these survive a change of the user.

    To be called before that change, which needs capabilities itself, and followed by `drop`. Without CAP_SETPCAP the
    bounding set stays as it is; then no-new-privileges keeps programs from gaining what is in it.
    """
    if _permitted() & SETPCAP:
        for number in range(BITS):
            if number not in kept and _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
                break  # the kernel knows no more
    if kept:
        _check(_libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))


def drop(kept: Collection[int]) -> None:
    """Drop all capabilities but `kept`, of which the thread and the program that it executes keep what it has."""
    permitted = _permitted()
    left = permitted & sum(1 << number for number in kept)
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if permitted:
        _check(_libc.capset(HEADER, _halves(left)))
    for number in kept:
        if left & 1 << number:
            _check(_libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0))


def _halves(kept: int) -> bytes:
    """As effective, permitted and inheritable, the lower and the upper 32 bits."""
    return struct.pack("=6I", *(kept & 0xFFFFFFFF,) * 3, *(kept >> 32,) * 3)


def _permitted() -> int:
    sets = ctypes.create_string_buffer(24)
    _check(_libc.capget(HEADER, sets))
    _, low, _, _, high, _ = struct.unpack("=6I", sets.raw)
    return int(high) << 32 | int(low)


def _check(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
