"""The driver of `nat`: a way out of a lab, by the network of the server, where the settings allow it."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, ClassVar

from labplane import VM, BadRequest, Conflict, Needs, Schema, VMPort, find_program
from labplane_linux.pumped import HERE, PumpedDriver

ALL_PORTS = range(65536)
LONGEST_PREFIX = 25  # its addresses for DHCP begin at the 15th
PINGS = Path("/proc/sys/net/ipv4/ping_group_range")


class NatDriver(PumpedDriver):
    """A gateway with DHCP and DNS, whose connections to the outside are those of a user of this server."""

    kind = "nat"
    properties: ClassVar[Mapping[str, Schema]] = {
        "network": {
            "type": "string",
            "default": "10.0.2.0/24",
            "pattern": r"^[0-9.]{7,15}/[0-9]{1,2}$",
            "description": "a network, say 10.0.2.0/24: number 2 is its gateway, 3 its DNS server, 15 to 30 are lent",
        }
    }
    console = False

    async def check(self) -> None:
        self._program()

    def _program(self) -> Path:
        return find_program(self.config["program"], "On Debian: apt-get install slirp4netns")

    def ports(self, vm: VM) -> Sequence[VMPort]:
        return [VMPort(0, 0, "nat0")]

    def normalise(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if "network" in given:
            try:
                network = IPv4Network(given["network"])
            except ValueError as error:
                raise BadRequest(f"'network' is no IPv4 network: {error}.") from None
            if network.prefixlen > LONGEST_PREFIX or network.prefixlen == 0:
                raise BadRequest(f"'network' has a prefix of {network.prefixlen} bits; 1 to {LONGEST_PREFIX} will do.")
        return given

    def needs(self, vm: VM) -> Needs:
        return Needs(executes=(self._program(),), reads=(HERE / "labplane_linux_node",), connects=ALL_PORTS)

    async def prepare(self, vm: VM) -> None:
        if not self.config["allow"]:
            raise Conflict(
                "The settings of this server let no VM reach the network outside. To allow it to all who may use this "
                "server, put `allow = true` below [plugins.nat] in labplane.toml."
            )
        if not await asyncio.to_thread(self._may_ping):
            vm.tell(
                "warning",
                f"{vm} answers no ping to the outside, since Linux lets its user send none. To allow it: "
                "sysctl net.ipv4.ping_group_range='0 2147483647'",
            )

    def _may_ping(self) -> bool:
        group = os.getegid() if self.lab.user is None else self.lab.user.gid
        try:
            first, last = map(int, PINGS.read_text().split())
        except OSError:
            return True
        return first <= group <= last

    def program_config(self, vm: VM) -> Mapping[str, Any]:
        return {"program": str(self._program()), "network": vm.settings["network"]}
