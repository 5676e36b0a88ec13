"""The built-in PC, which runs in the engine of the server and needs no program on the host."""

import errno
import fcntl
import os
import struct
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from labplane import VM, Conflict, Session, open_udp, resolve_rhost, run_in_engine

MACHINE = "labplane_pc.machine:Machine"
FIRST_MAC = 0x005079666800
TUN = "/dev/net/tun"
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000


def mac_of(mac_id: int) -> str:
    """The MAC address with that number, in hexadecimal: of the first 255, those that the program has."""
    return f"{FIRST_MAC + mac_id:012x}"


class BuiltIn:
    """Starts built-in PCs for the driver."""

    def __init__(self) -> None:
        self._version = version("labplane")

    async def command_line(self, vm: VM, nio: Mapping[str, Any]) -> str:
        """What is shown as the command line: the options that the program would have."""
        if nio["type"] == "nio_tap":
            return f"(built-in) -m {vm.data['mac_id']} -e -d {nio['tap_device']}"
        rhost = await resolve_rhost(nio["rhost"])
        return f"(built-in) -m {vm.data['mac_id']} -s {nio['lport']} -c {nio['rport']} -t {rhost}"

    async def launch(self, vm: VM, session: Session, nio: Mapping[str, Any]) -> None:
        """Start the PC of `vm` with its end of the link open. Raises Conflict when that cannot be opened."""
        if nio["type"] == "nio_tap":
            link = {"tap": nio["tap_device"]}
            end = _open_tap(vm, nio["tap_device"])
        else:
            link = {"lport": nio["lport"], "rport": nio["rport"], "rhost": await resolve_rhost(nio["rhost"])}
            end = (await open_udp(vm, nio)).detach()
        settings = {"mac": mac_of(vm.data["mac_id"]), "version": self._version, "link": link}
        try:
            await run_in_engine(vm, session, MACHINE, settings, [end], vm.data["command_line"])
        finally:
            os.close(end)


def _open_tap(vm: VM, device: str) -> int:
    """A descriptor of the tap device, one frame a read or write. Raises Conflict."""
    descriptor = -1
    try:
        descriptor = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH14x", device.encode(), IFF_TAP | IFF_NO_PI))
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        reason = os.strerror(error.errno or errno.EIO)
        raise Conflict(f"{vm} could not open its tap device {device}: {reason}. The VM is stopped again.") from None
    return descriptor
