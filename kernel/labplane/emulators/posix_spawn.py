"""libc's posix_spawn, which can set the working directory and, unlike Python's, does not hold up the server.

``os.posix_spawn`` keeps the interpreter's lock until the child has executed its program, which takes a busy machine
tens of milliseconds; a call through ctypes gives it up. Needs glibc 2.29 or musl 1.1.24.
"""

import ctypes
import functools
import os
import signal
from collections.abc import Mapping, Sequence

POSIX_SPAWN_SETSIGDEF = 0x04
POSIX_SPAWN_SETSIGMASK = 0x08
POSIX_SPAWN_SETSID = 0x80
OPAQUE = 1024  # bytes; more than any libc's posix_spawnattr_t, posix_spawn_file_actions_t or sigset_t has

# What Python ignores or handles, SIGPIPE apart, and a child should find as a shell would leave it.
TO_DEFAULT = (signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

_libc = ctypes.CDLL(None)
_quick = ctypes.PyDLL(None)  # keeps the lock: giving it up and taking it again would cost more than these calls


def spawn(
    command: Sequence[str], environment: Mapping[str, str], *, directory: int, terminal: str, sigpipe: bool = True
) -> int:
    """Start `command` as leader of a new session on `terminal`; the pid.

    directory: descriptor of its working directory.
    terminal:  path of a pty's slave side. It becomes stdin, stdout, stderr and the controlling terminal, as the first
               that a session leader opens.
    sigpipe:   whether SIGPIPE ends it; otherwise it is ignored, as it is in the server.

    Raises OSError when something of this cannot be done, the execution included.
    """
    actions = ctypes.create_string_buffer(OPAQUE)
    _check(_quick.posix_spawn_file_actions_init(actions))
    try:
        _check(_quick.posix_spawn_file_actions_addfchdir_np(actions, directory))
        _check(_quick.posix_spawn_file_actions_addopen(actions, 0, os.fsencode(terminal), os.O_RDWR, 0))
        _check(_quick.posix_spawn_file_actions_adddup2(actions, 0, 1))
        _check(_quick.posix_spawn_file_actions_adddup2(actions, 0, 2))
        pid = ctypes.c_int()
        program = os.fsencode(command[0])
        arguments = _strings([os.fsencode(argument) for argument in command])
        variables = _strings([os.fsencode(f"{name}={value}") for name, value in environment.items()])
        _check(_libc.posix_spawn(ctypes.byref(pid), program, actions, _attributes(sigpipe), arguments, variables))
        return pid.value
    finally:
        _quick.posix_spawn_file_actions_destroy(actions)


@functools.cache
def _attributes(sigpipe: bool) -> ctypes.Array[ctypes.c_char]:
    attributes = ctypes.create_string_buffer(OPAQUE)
    _check(_quick.posix_spawnattr_init(attributes))
    flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
    _check(_quick.posix_spawnattr_setflags(attributes, ctypes.c_short(flags)))
    _check(_quick.posix_spawnattr_setsigmask(attributes, _signals(())))
    _check(
        _quick.posix_spawnattr_setsigdefault(
            attributes, _signals([signal.SIGPIPE, *TO_DEFAULT] if sigpipe else TO_DEFAULT)
        )
    )
    return attributes


def _signals(numbers: Sequence[int]) -> ctypes.Array[ctypes.c_char]:
    signals = ctypes.create_string_buffer(OPAQUE)
    _quick.sigemptyset(signals)
    for number in numbers:
        _quick.sigaddset(signals, number)
    return signals


def _strings(values: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(values) + 1))(*values, None)


def _check(error: int) -> None:
    """Raise the OSError whose number such a function returned; they do not set errno."""
    if error:
        raise OSError(error, os.strerror(error))
