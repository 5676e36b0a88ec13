"""The driver: how a Linux node is made, started and shown."""

import asyncio
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from labplane import VM, Conflict, ProcessDriver, Schema, Unavailable, VMPort
from labplane_linux import frr
from labplane_linux.pumped import PumpedDriver

MOST_ADAPTERS = 32
LONGEST_SCRIPT = 1024 * 1024
TUN = Path("/dev/net/tun")
NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
FIRST_USER = 0x7000_0000  # no system gives its users such numbers


class LinuxDriver(PumpedDriver):
    """A node is a set of Linux namespaces with a shell on its console, and FRR when it has a configuration for it."""

    kind = "linux"
    properties: ClassVar[Mapping[str, Schema]] = {
        "adapters": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_ADAPTERS,
            "default": 4,
            "description": "network cards, eth0 and so on, each with one port",
            "x-change": "stopped",
        },
        "startup_script": {
            "type": ["string", "null"],
            "maxLength": LONGEST_SCRIPT,
            "default": None,
            "description": "run by /bin/sh at each start, before FRR and the shell",
        },
        "frr_conf": {
            "type": ["string", "null"],
            "maxLength": frr.LONGEST,
            "default": None,
            "description": "FRR's configuration, which is loaded at each start; `write` at vtysh replaces it",
            "x-saved-by": "test ! -S /run/frr/zebra.vty || vtysh -c write",
        },
        "daemons": {
            "type": "array",
            "items": {"enum": sorted(frr.WORDS)},
            "uniqueItems": True,
            "default": [],
            "description": "FRR's daemons that run even if frr_conf does not need them",
        },
    }
    confined = False  # Landlock refuses the mounts with which it confines itself
    confines_itself = True
    keys = (*ProcessDriver.keys, "eof", "kill", "werase", "susp", "quit")
    boots = True
    prompt = rb"(?:^|[\r\n])[^\r\n\s]+:[^\r\n\s]*# "
    longest_line = 4000

    async def check(self) -> None:
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        if not TUN.exists():
            raise Unavailable(f"There is no {TUN} on this server. Load the module: modprobe tun")
        if self.lab.user is None and not os.access(TUN, os.R_OK | os.W_OK):
            raise Unavailable(f"The server may not open {TUN}. Let its user do so: chmod 0666 {TUN}")
        if NAMESPACES.exists() and NAMESPACES.read_text().strip() == "0":
            raise Unavailable("This system has no user namespaces. Allow them: sysctl user.max_user_namespaces=10000")

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        return [1] * int(settings["adapters"])

    def ports(self, vm: VM) -> Sequence[VMPort]:
        return [VMPort(number, 0, f"eth{number}", mac=vm.mac(number)) for number in range(len(vm.adapters()))]

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        if "frr_conf" in changes and (vm.settings or changes["frr_conf"]):
            await asyncio.to_thread(frr.write, vm.dir, changes["frr_conf"])

    async def restore(self, vm: VM, settings: Mapping[str, Any]) -> None:
        """FRR's configuration stays as it is in its file, which vtysh may have written since."""

    async def prepare(self, vm: VM) -> None:
        there = frr.exists(vm.dir)
        text = await asyncio.to_thread(frr.read, vm.dir) if there else None
        if there and text is None:
            raise Conflict(f"FRR's configuration of {vm} is longer than {frr.LONGEST} bytes; shorten or remove it.")
        vm.data["daemons"] = daemons = frr.daemons(text, vm.settings["daemons"])
        frr.require(daemons)

    async def show(self, vm: VM) -> Mapping[str, Any]:
        text = await asyncio.to_thread(frr.read, vm.dir) if frr.exists(vm.dir) else None
        return {**await super().show(vm), "frr_conf": text}

    def program_config(self, vm: VM) -> Mapping[str, Any]:
        return {
            "hostname": re.sub(r"[^A-Za-z0-9-]+", "-", vm.name).strip("-")[:63] or "node",
            "macs": [vm.mac(number) for number in range(vm.settings["adapters"])],
            "startup_script": vm.settings["startup_script"],
            "daemons": vm.data["daemons"],
            "user": FIRST_USER + zlib.crc32(vm.id.encode()) % FIRST_USER,  # the same at each start: it owns the home
        }
