"""Threads that have given up the right to execute programs, with Landlock; their children inherit it.

Linux 5.13 and later. Facts: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import functools
import os
import struct
from collections.abc import Iterable
from pathlib import Path

SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
LANDLOCK_ACCESS_FS_EXECUTE = 1
PR_SET_NO_NEW_PRIVS = 38
PT_INTERP = 3

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@functools.cache
def available() -> bool:
    """True when this kernel has Landlock switched on."""
    version = _libc.syscall(
        ctypes.c_long(SYS_LANDLOCK_CREATE_RULESET),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint(LANDLOCK_CREATE_RULESET_VERSION),
    )
    return bool(version >= 1)


def only_execute(programs: Iterable[Path]) -> None:
    """From now on the calling thread and its children can execute `programs` and nothing else.

    Cannot be undone. A program's loader must be among `programs`, see `with_loader`; it is a way out for a program that
    can be told to execute the loader itself with arguments, not for one that hands commands to a shell. Raises OSError
    when a program does not exist or the kernel refuses.
    """
    access = struct.pack("=Q", LANDLOCK_ACCESS_FS_EXECUTE)
    ruleset = _call(
        SYS_LANDLOCK_CREATE_RULESET, ctypes.c_char_p(access), ctypes.c_size_t(len(access)), ctypes.c_uint(0)
    )
    try:
        for program in programs:
            inode = os.open(program, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = struct.pack("=Qi", LANDLOCK_ACCESS_FS_EXECUTE, inode)
                kind = ctypes.c_uint(LANDLOCK_RULE_PATH_BENEATH)
                _call(SYS_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), kind, ctypes.c_char_p(rule), ctypes.c_uint(0))
            finally:
                os.close(inode)
        _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _call(SYS_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def with_loader(program: Path) -> list[Path]:
    """`program` and what the kernel must execute to run it: its ELF loader, if it names one."""
    loader = _elf_loader(program)
    return [program] if loader is None else [program, loader]


def _elf_loader(program: Path) -> Path | None:
    with program.open("rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF":
            return None
        wide = head[4] == 2
        order = "<" if head[5] == 1 else ">"
        table = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)[0]
        size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
        for index in range(count):
            file.seek(table + index * size)
            entry = file.read(size)
            if struct.unpack_from(order + "I", entry)[0] == PT_INTERP:
                offset, length = (
                    (struct.unpack_from(order + "Q", entry, 8)[0], struct.unpack_from(order + "Q", entry, 32)[0])
                    if wide
                    else (struct.unpack_from(order + "I", entry, 4)[0], struct.unpack_from(order + "I", entry, 16)[0])
                )
                file.seek(offset)
                return Path(os.fsdecode(file.read(length).rstrip(b"\0")))
    return None


def _call(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
