"""The system calls and capabilities that a node's programs do without: they reach the kernel, which is the host's.

Facts: man 2 seccomp, linux/filter.h, linux/audit.h, the tables of system calls of x86-64 and aarch64.
"""

import ctypes
import errno
import os
import struct

from labplane_linux_node import kernel

# SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_PACCT, SYS_BOOT, SYS_TIME, MKNOD, LEASE, AUDIT_WRITE, AUDIT_CONTROL,
# MAC_OVERRIDE, MAC_ADMIN, SYSLOG, WAKE_ALARM, BLOCK_SUSPEND, AUDIT_READ, PERFMON, BPF, CHECKPOINT_RESTORE
CAPABILITIES = (16, 17, 19, 20, 22, 25, 27, 28, 29, 30, 32, 33, 34, 35, 36, 37, 38, 39, 40)

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SETGROUPS = {"x86_64": 116, "aarch64": 159}
REFUSED = {
    # syslog, keys, bpf, perf_event_open, userfaultfd, kexec, modules, open_by_handle_at, unshare, setns, mounts, chroot
    "x86_64": (103, 248, 249, 250, 321, 298, 323, 246, 320, 175, 313, 176, 304, 272, 308, 165, 166, 155, 161),
    "aarch64": (116, 217, 218, 219, 280, 241, 282, 104, 294, 105, 273, 106, 265, 97, 268, 40, 39, 41, 51),
}
REFUSED_EVERYWHERE = (*range(425, 434), 442)  # io_uring, and mounts by descriptors
X32 = 0x40000000

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, ARCHITECTURE = 0, 4  # offsets in struct seccomp_data


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install() -> None:
    """Refuse these calls from now on, for all children too.

    setgroups succeeds and does nothing: in a user namespace of one user it is refused, and FRR insists on it.
    """
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        raise kernel.Failed(f"Nodes run on x86_64 and aarch64; this is {machine}.")
    refuse = _step(RETURN, ERRNO | errno.EPERM)
    steps = [
        _step(LOAD, ARCHITECTURE),
        _step(JUMP_EQUAL, ARCHITECTURES[machine], 1, 0),
        refuse,
        _step(LOAD, NUMBER),
        _step(JUMP_AT_LEAST, X32, 0, 1),
        refuse,
        _step(JUMP_EQUAL, SETGROUPS[machine], 0, 1),
        _step(RETURN, ERRNO),
    ]
    for number in (*REFUSED[machine], *REFUSED_EVERYWHERE):
        steps += [_step(JUMP_EQUAL, number, 0, 1), refuse]
    steps.append(_step(RETURN, ALLOW))
    program = _Program(len(steps), b"".join(steps))
    kernel.prctl(kernel.PR_SET_SECCOMP, kernel.SECCOMP_MODE_FILTER, ctypes.byref(program))


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
