"""The socket at which a program hears its driver, and after the end of a server the driver of the next one."""

import os
import socket
import struct
from contextlib import suppress

SOCKET = ".labplane-control"


def listen() -> socket.socket:
    """Listen in the working directory."""
    forget()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(SOCKET)
    listener.listen(4)
    return listener


def forget() -> None:
    with suppress(FileNotFoundError):
        os.unlink(SOCKET)


def accept(listener: socket.socket) -> socket.socket | None:
    """Who has connected; None when that is no server.

    Other machines may run as the same user. They come from the same keeper as this program does, a server does not.
    """
    end, _ = listener.accept()
    pid, uid, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid in (0, os.geteuid()) and not _is_below(pid, os.getppid()):
        return end
    end.close()
    return None


def _is_below(pid: int, ancestor: int) -> bool:
    """Whether that process descends from `ancestor`, or is gone."""
    while pid not in (0, 1, ancestor):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return True
    return pid == ancestor
