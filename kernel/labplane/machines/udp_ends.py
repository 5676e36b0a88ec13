"""The near end of a UDP link that the server itself holds, for a driver that runs no program, like a switch."""

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
    """A non-blocking socket at the `lport` of `nio`, connected to its far end, so that it hears nobody else.

    instead_of: the open socket that it is going to replace, which may have the same `lport`. It works on, whether this
                succeeds or not, until the caller closes it.

    Raises Conflict when another program has the `lport` or there is no way to the far end. Nothing is open then.
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
    with suppress(BlockingIOError):  # what others sent between bind and connect
        for _ in range(MOST_STRAYS):
            end.recv(1)
    return end


def _share(ends: list[socket.socket], yes: bool) -> None:
    """Whether these may have one number; no longer than needed, or a stranger's socket could join them (U-3)."""
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, yes)
