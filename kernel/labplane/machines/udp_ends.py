"""The near ends of UDP links: the `lport`s of a VM, held on the host, lent to its program, or opened for its driver."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
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


def claim_lport(vm: "VM", nio: NIO, address: str) -> None:
    """Lease the `lport` of `nio` to `vm`; address: of its far end.

    A number that was asked for without a project makes links within one project only (U-1). Raises Conflict when
    another owner or another program has the `lport`, or its far end is of another project.
    """
    udp, lport = vm.lab.udp, nio["lport"]
    if lport in udp and udp.owner(lport) is vm:
        raise Conflict(f"The UDP port {lport} is in use at another port of {vm}.")
    if lport in udp and udp.owner(lport) is None and nio["rport"] in udp and _is_here(address):
        holder = udp.owner(nio["rport"])
        of_project = holder in (None, vm.lab.project_owner(vm.project_id))
        if not of_project and getattr(holder, "project_id", None) != vm.project_id:
            raise Conflict(
                f"The UDP port {nio['rport']}, the far end, is held by {holder}, which is of another project. "
                f"{lport} was asked for without a project, so it can be linked within one project only. "
                "Ask each project for the port of its end, with POST /v1/projects/{project_id}/ports/udp."
            )
    udp.claim(lport, vm, heir_of=vm.lab.project_owner(vm.project_id))


def takes_rport(vm: "VM", nio: NIO, address: str) -> bool:
    """Whether the port at the far end of `nio` was asked for without a project, so that this link tells which (U-1)."""
    return nio["rport"] in vm.lab.udp and vm.lab.udp.owner(nio["rport"]) is None and _is_here(address)


async def hand_over(vm: "VM", *lports: int) -> None:
    """Let go of these `lport`s of `vm`, or of all, so that its program can bind them; `take_back` ends that.

    Raises Conflict when another program has one of them.
    """
    own = [nio["lport"] for nio in vm.nios.values() if "lport" in nio]
    numbers = lports or [*own, *vm.leases["udp"].values()]
    for number in numbers:
        vm.lent.add(number)
        vm.lab.udp.lend(number)
    for number in numbers:
        if not await _comes_true(partial(vm.lab.udp.is_free_on_host, number)):
            raise in_use(vm, number)


async def _comes_true(what: Callable[[], bool]) -> bool:
    """Whether this is true, now or in a tenth of a second.

    A child of the server has copies of its sockets until it executes its program, that of a port just let go of among
    them. Where processors are short that takes a while.
    """
    for _ in range(20):
        if what():
            return True
        await asyncio.sleep(0.005)
    return what()


def take_back(vm: "VM") -> None:
    """Hold the ports that were lent to the program or driver of `vm`, which has ended, for the next start."""
    while vm.lent:
        vm.lab.udp.take_back(vm.lent.pop(), vm)
    if vm.console is not None:
        vm.lab.consoles.take_back(vm.console, vm)


def in_use(vm: "VM", lport: int) -> Conflict:
    """The refusal of an `lport` that another program has."""
    return Conflict(f"The UDP port {lport} of {vm} is in use by another program; link it with another lport.")


def _is_here(address: str) -> bool:
    """Whether `address` is one of this host's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end, suppress(OSError):
        end.bind((address, 0))
        return True
    return False


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
        vm.lent.add(lport)
        if not await _comes_true(partial(vm.lab.udp.bind, end, near, lport)):
            raise in_use(vm, lport)
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
