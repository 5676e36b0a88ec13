"""The sockets, files and threads of a process (S-3: the owner of a port counts, not just that it is taken)."""

import functools
import os
import socket
import struct
from pathlib import Path

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
ANY_STATE = 0xFFFFFFFF
ANY_COOKIE = 0xFFFFFFFFFFFFFFFF
HEADER = 16  # bytes of struct nlmsghdr
INODE = 68  # where struct inet_diag_msg has it
REPLY = 4096


def has_udp_port(pid: int, number: int) -> bool:
    """True when the process `pid` itself has UDP `number` bound, at every address. Raises OSError when it has ended."""
    inode = _inode(number) if _can_ask() else _inode_in_table(pid, number)
    if inode is None:
        Path(f"/proc/{pid}/fd").stat()
        return False
    return f"socket:[{inode}]" in open_files(pid)


def _inode(number: int) -> int | None:
    """The inode of the socket that hears what loopback sends to UDP `number`, as the kernel says. Raises OSError.

    A request of netlink (man 7 sock_diag), which takes the same few microseconds however many sockets there are. Older
    kernels look up the destination of the request, newer ones its source: so both are that socket's.
    """
    loopback = socket.inet_aton("127.0.0.1")
    end = struct.pack("!HH16s16sIQ", number, number, loopback, loopback, 0, ANY_COOKIE)
    request = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_UDP, 0, 0, ANY_STATE) + end
    header = struct.pack("=IHHII", HEADER + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(header + request)
        reply = kernel.recv(REPLY)
    if struct.unpack_from("=IH", reply)[1] != SOCK_DIAG_BY_FAMILY:
        return None  # ENOENT as a rule: nobody has it
    (inode,) = struct.unpack_from("=I", reply, HEADER + INODE)
    return int(inode)


@functools.cache
def _can_ask() -> bool:
    """Whether `_inode` finds a socket that is there: it does not where the kernel has no module for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as known:
        known.bind(("127.0.0.1", 0))
        try:
            return _inode(known.getsockname()[1]) == os.fstat(known.fileno()).st_ino
        except OSError:
            return False


def _inode_in_table(pid: int, number: int) -> int | None:
    """The same from the table of all UDP sockets, which the kernel writes anew for each reader."""
    wanted = f":{number:04X}"
    with open(f"/proc/{pid}/net/udp") as table:
        next(table)
        for line in table:
            columns = line.split()
            if columns[1].endswith(wanted):
                return int(columns[9])
    return None


def open_files(pid: int) -> list[str]:
    """What the file descriptors of `pid` lead to. Raises OSError when it has ended."""
    directory = f"/proc/{pid}/fd"
    targets = []
    for descriptor in os.listdir(directory):
        try:
            targets.append(os.readlink(f"{directory}/{descriptor}"))
        except FileNotFoundError:
            continue
    return targets


def thread_states(pid: int, first: int) -> list[str]:
    """The state letter (R, S, …) of each thread of `pid` from number `first` on, oldest first, as /proc lists them.

    Raises OSError when it has ended.
    """
    directory = f"/proc/{pid}/task"
    states = []
    for thread in os.listdir(directory)[first:]:
        with open(f"{directory}/{thread}/stat") as file:
            text = file.read()
        states.append(text[text.rindex(")") + 2])
    return states
