"""UDP sockets for the near ends of links, for a driver that runs no program, as a switch."""

import errno
import os
import socket
from contextlib import suppress
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from labplane.errors import Conflict
from labplane.net.nios import NIO
from labplane.net.ports import ANYWHERE
from labplane.net.rhost import resolve_rhost

if TYPE_CHECKING:
    from labplane.machines.vm import VM

LOOPBACK = "127.0.0.1"
MOST_STRAYS = 1000


async def open_udp(vm: "VM", nio: NIO, *, instead_of: socket.socket | None = None) -> socket.socket:
    """A non-blocking UDP socket at the `lport` of `nio`, connected to its far end: it receives from there alone.

    instead_of: the open socket that the new one is going to replace; it may have the same `lport`. It stays open until
                the caller closes it, whether this call succeeds or not.

    Raises Conflict when another program has the `lport` or the far end cannot be reached. No new socket is open then.
    """
    rhost, lport = await resolve_rhost(nio["rhost"]), nio["lport"]
    near = LOOPBACK if IPv4Address(rhost).is_loopback else ANYWHERE
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sharing = [end, instead_of] if instead_of and instead_of.getsockname()[1] == lport else []
    try:
        end.setblocking(False)
        _share(sharing, True)
        if not await vm.lab.terminals.comes_free(lambda: vm.lab.udp.bind(end, near, lport)):
            raise Conflict(f"The UDP port {lport} of {vm} is in use by another program; link it with another lport.")
        end.connect((rhost, nio["rport"]))
    except BaseException as error:
        end.close()
        if isinstance(error, OSError):
            reason = os.strerror(error.errno or errno.EIO)
            raise Conflict(f"{vm} cannot be linked to {rhost}:{nio['rport']}: {reason}.") from None
        raise
    finally:
        _share([one for one in sharing if one.fileno() >= 0], False)
    with suppress(BlockingIOError):  # datagrams of others that came between bind and connect
        for _ in range(MOST_STRAYS):
            end.recv(1)
    return end


def _share(ends: list[socket.socket], yes: bool) -> None:
    """Let these sockets share one port, or no longer; while they do, another program's socket could join them (U-3)."""
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, yes)
