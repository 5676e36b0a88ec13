"""What a fresh thread does to start one program: Landlock, capabilities and user are per thread and do not come back.

libc's posix_spawn is called through ctypes: unlike Python's it can set the working directory, and it gives up the
interpreter's lock while the child executes its program. Needs glibc 2.29 or musl 1.1.24.
"""

import ctypes
import errno
import fcntl
import json
import os
import signal
import struct
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from labplane_keeper.leftovers import MARK, mark

if TYPE_CHECKING:
    from labplane_keeper.keeper import Keeper
    from labplane_keeper.runs import Run

LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF, LANDLOCK_RULE_PATH_BENEATH = 445, 446, 1
USER_CALLS = {"x86_64": (116, 119, 117), "aarch64": (159, 149, 147)}  # setgroups, setresgid, setresuid
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_TIMERSLACK, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 8, 24, 29, 38, 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
CAP_SETPCAP, CAPABILITIES = 1 << 8, struct.pack("=Ii", 0x20080522, 0)  # version 3, of the calling thread
SETSIGDEF, SETSIGMASK, SETSID = 0x04, 0x08, 0x80
OPAQUE = 1024  # bytes; more than any libc's posix_spawnattr_t, posix_spawn_file_actions_t or sigset_t has

# What the keeper ignores or handles, SIGPIPE apart, and a program should find as a shell would leave it.
TO_DEFAULT = (signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD)

_libc = ctypes.CDLL(None)
_quick = ctypes.PyDLL(None, use_errno=True)  # keeps the lock: giving it up and taking it again costs more than a call
_quick.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_quick.syscall.restype = ctypes.c_long
prctl = _quick.prctl


def start_run(keeper: "Keeper", run: "Run", wanted: Mapping[str, Any], fds: Sequence[int], slave: int) -> int:
    """As `launch`, in the cgroup of `run`, if it has one: so that the program begins its life there.

    Only whole processes are in a cgroup, so one of its own goes there first; when it ends the program is the child of
    the keeper, which is a subreaper. posix_spawn itself could do it from glibc 2.39 on.
    """
    if not run.cgroup:
        return launch(wanted, fds, slave)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        first = {f"{run.cgroup}/cgroup.procs": "0", "/proc/self/oom_score_adj": keeper.oom}
        _launch_and_tell(first, wanted, fds, slave, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    keeper.groups.started(run)
    if not told:
        raise OSError(errno.ENOMEM, "what was to start it was ended, for want of memory in its cgroup, say")
    pid, number, text = json.loads(told)
    if not pid:
        raise OSError(number, text)
    return int(pid)


def _launch_and_tell(
    first: Mapping[str, str | None], wanted: Mapping[str, Any], fds: Sequence[int], slave: int, writing: int
) -> NoReturn:
    result: tuple[int, int, str]
    try:
        for path, text in first.items():
            if text is not None:
                with open(path, "w") as file:
                    file.write(text)
        result = launch(wanted, fds, slave), 0, ""
    except OSError as error:
        result = 0, error.errno or errno.EIO, error.strerror or str(error)
    except BaseException as error:
        result = 0, errno.EINVAL, f"{type(error).__name__}: {error}"
    os.write(writing, json.dumps(result).encode())
    os._exit(0)


def launch(wanted: Mapping[str, Any], fds: Sequence[int], slave: int) -> int:
    """Start the program that the request `wanted` describes on the terminal `slave`; the pid. Raises OSError.

    fds: the descriptors that came with the request. The calling thread must not be used for anything else.
    """
    if wanted.get("timer_slack"):
        prctl(PR_SET_TIMERSLACK, wanted["timer_slack"], 0, 0, 0)
    user, kept = wanted.get("user"), wanted.get("capabilities")
    if wanted.get("ruleset") is not None:
        _confine(fds[wanted["ruleset"]], slave, wanted["terminal_rights"])
    if kept is not None:
        _give_up(kept, user)
    elif user is not None:
        _become(user)
    actions = ctypes.create_string_buffer(OPAQUE)
    _done(_quick.posix_spawn_file_actions_init(actions))
    copies: list[int] = []
    try:
        _done(_quick.posix_spawn_file_actions_addfchdir_np(actions, fds[wanted["directory"]]))
        # The first terminal that the leader of a session opens becomes its controlling one.
        _done(_quick.posix_spawn_file_actions_addopen(actions, 0, os.fsencode(os.ttyname(slave)), os.O_RDWR, 0))
        for number in (1, 2):
            _done(_quick.posix_spawn_file_actions_adddup2(actions, 0, number))
        inherited = wanted.get("inherit", ())
        free = max((number for _, number in inherited), default=2) + 1
        for index, number in inherited:
            copies.append(fcntl.fcntl(fds[index], fcntl.F_DUPFD_CLOEXEC, free))  # so that none is in another's way
            _done(_quick.posix_spawn_file_actions_adddup2(actions, copies[-1], number))
        pid = ctypes.c_int()
        program, arguments = os.fsencode(wanted["command"][0]), _strings(wanted["command"])
        environment = {**wanted.get("environment", {}), MARK: mark(wanted["id"], wanted["generation"])}
        variables = _strings([f"{name}={value}" for name, value in environment.items()])
        attributes = _attributes(wanted.get("sigpipe", True))
        _done(_libc.posix_spawn(ctypes.byref(pid), program, actions, attributes, arguments, variables))
        return pid.value
    finally:
        _quick.posix_spawn_file_actions_destroy(actions)
        for copy in copies:
            os.close(copy)


def _confine(ruleset: int, terminal: int, rights: int) -> None:
    """Keep the calling thread and its children from all but what `ruleset` has and `terminal`."""
    rule = struct.pack("=Qi", rights, terminal)
    kind, flags = ctypes.c_uint(LANDLOCK_RULE_PATH_BENEATH), ctypes.c_uint(0)
    _checked(_quick.syscall(ctypes.c_long(LANDLOCK_ADD_RULE), ctypes.c_int(ruleset), kind, rule, flags))
    _checked(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_quick.syscall(ctypes.c_long(LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), flags))


def _give_up(kept: Collection[int], user: Sequence[int] | None) -> None:
    """Keep of the thread's capabilities those of these numbers, and become `user` (man 7 capabilities).

    Without CAP_SETPCAP the bounding set stays as it is; then no-new-privileges keeps programs from gaining what it has.
    """
    _checked(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if _permitted() & CAP_SETPCAP:
        for number in range(64):
            if number not in kept and prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
                break  # the kernel knows no more
    if kept:
        _checked(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    if user is not None:
        _become(user)
    had = _permitted()
    left = had & sum(1 << number for number in kept)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if had:
        _checked(_quick.capset(CAPABILITIES, struct.pack("=6I", *(left & 0xFFFFFFFF,) * 3, *(left >> 32,) * 3)))
    for number in kept:
        if left & 1 << number:
            _checked(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0))


def _permitted() -> int:
    sets = ctypes.create_string_buffer(24)
    _checked(_quick.capget(CAPABILITIES, sets))
    _, low, _, _, high, _ = struct.unpack("=6I", sets.raw)
    return int(high) << 32 | int(low)


def _become(user: Sequence[int]) -> None:
    """Change the user of the calling thread alone; libc's own functions would change that of all threads."""
    machine = os.uname().machine
    if machine not in USER_CALLS:
        raise OSError(errno.ENOSYS, f"changing the user is not known on {machine}")
    for number, arguments in zip(USER_CALLS[machine], ((0, None), (user[1],) * 3, (user[0],) * 3), strict=True):
        _checked(_quick.syscall(ctypes.c_long(number), *arguments))


def _attributes(sigpipe: bool) -> "ctypes.Array[ctypes.c_char]":
    attributes = ctypes.create_string_buffer(OPAQUE)
    _done(_quick.posix_spawnattr_init(attributes))
    _done(_quick.posix_spawnattr_setflags(attributes, ctypes.c_short(SETSID | SETSIGDEF | SETSIGMASK)))
    _done(_quick.posix_spawnattr_setsigmask(attributes, _signals(())))
    to_default = (*TO_DEFAULT, signal.SIGPIPE) if sigpipe else TO_DEFAULT
    _done(_quick.posix_spawnattr_setsigdefault(attributes, _signals(to_default)))
    return attributes


def _signals(numbers: Collection[int]) -> "ctypes.Array[ctypes.c_char]":
    signals = ctypes.create_string_buffer(OPAQUE)
    _quick.sigemptyset(signals)
    for number in numbers:
        _quick.sigaddset(signals, number)
    return signals


def _strings(values: Sequence[str]) -> "ctypes.Array[ctypes.c_char_p]":
    return (ctypes.c_char_p * (len(values) + 1))(*map(os.fsencode, values), None)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _done(error: int) -> None:
    """Raise the OSError whose number such a function returned; they do not set errno."""
    if error:
        raise OSError(error, os.strerror(error))
