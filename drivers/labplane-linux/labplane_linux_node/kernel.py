"""Calls to Linux that Python does not have: namespaces, mounts, prctl, network devices.

Facts: man 2 unshare, mount, pivot_root, prctl, seccomp; man 7 netdevice; linux/if_tun.h.
"""

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP = 0x10000000, 0x20000000, 0x40000000, 0x2000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 24, 38, 22
SECCOMP_MODE_FILTER = 2

TUNSETIFF, TUNSETPERSIST, TUNSETCARRIER = 0x400454CA, 0x400454CB, 0x400454E2
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFHWADDR = 0x8913, 0x8914, 0x8924
IFF_UP = 1
ARPHRD_ETHER = 1

PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something that the system does not let a node have, in a sentence."""


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)))


def enter(path: str, kind: int) -> None:
    """Enter the namespace of that path in /proc."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)))
    finally:
        os.close(descriptor)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    words = [word.encode() if word else None for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None), target)


def unmount(target: str) -> None:
    _check(_libc.umount2(target.encode(), ctypes.c_int(MNT_DETACH)), target)


def pivot_root(new: str, old: str) -> None:
    number = PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(ctypes.c_long(number), new.encode(), old.encode()), new)


def prctl(option: int, argument: int, pointer: object = None) -> None:
    none = ctypes.c_ulong(0)
    third = none if pointer is None else pointer
    _check(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), third, none, none))


def open_tap(name: str, mac: str) -> int:
    """A new network card of this network namespace, up, without a carrier; what is written there comes in at it."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        fcntl.ioctl(tap, TUNSETPERSIST, 1)  # it goes with its namespace, all cards at once, and not one by one
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            address = bytes.fromhex(mac.replace(":", ""))
            fcntl.ioctl(any_socket, SIOCSIFHWADDR, struct.pack("16sH14s8x", name.encode(), ARPHRD_ETHER, address))
            bring_up(name)
        set_carrier(tap, False)
    except BaseException:
        os.close(tap)
        raise
    return tap


def bring_up(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        found = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH22x", name.encode(), 0))
        flags = struct.unpack("16sH22x", found)[1] | IFF_UP
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags))


def set_carrier(tap: int, there: bool) -> None:
    """Put a cable into the card, or pull it out."""
    fcntl.ioctl(tap, TUNSETCARRIER, struct.pack("i", there))


def _check(result: int, path: str | None = None) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
