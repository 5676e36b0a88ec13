"""The driver: how a Linux node is started, linked, captured and shown."""

import asyncio
import json
import os
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from labplane import VM, Lab, ProcessDriver, Schema, Session, Unavailable, VMPort, open_udp
from labplane_linux.control import Control

HERE = Path(__file__).resolve().parent.parent
MOST_ADAPTERS = 32
LONGEST_TEXT = 1024 * 1024
TUN = Path("/dev/net/tun")
NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
CONFIG = "node.json"
PROGRAM = f"import sys; sys.path.append({str(HERE)!r}); from labplane_linux_node.__main__ import main; sys.exit(main())"
FIRST_USER = 0x7000_0000  # no system gives its users such numbers
DAEMONS = ("babeld", "bfdd", "bgpd", "eigrpd", "isisd", "ldpd", "ospf6d", "ospfd", "pimd", "ripd", "ripngd", "vrrpd")
TEXT: Schema = {"type": ["string", "null"], "maxLength": LONGEST_TEXT, "default": None}


class LinuxDriver(ProcessDriver):
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
        "startup_script": {**TEXT, "description": "run by /bin/sh at each start, before FRR and the shell"},
        "frr_conf": {**TEXT, "description": "FRR's configuration, which is loaded at each start"},
        "daemons": {
            "type": "array",
            "items": {"enum": list(DAEMONS)},
            "uniqueItems": True,
            "default": [],
            "description": "FRR's daemons that run even if frr_conf does not need them",
        },
    }
    confined = False  # Landlock refuses the mounts with which it confines itself
    keys = (*ProcessDriver.keys, "eof", "kill", "werase", "susp", "quit")
    boots = True
    prompt = rb"(?:^|[\r\n])[^\r\n\s]+:[^\r\n\s]*# "
    longest_line = 4000

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab)
        self._config = config

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

    def command(self, vm: VM) -> Sequence[str]:
        return [self._config["python"] or sys.executable, "-I", "-c", PROGRAM, CONFIG]

    async def launch(self, vm: VM, session: Session) -> None:
        await asyncio.to_thread((vm.dir / CONFIG).write_text, json.dumps(self._node(vm)), "utf-8")
        await super().launch(vm, session)
        control = await Control.of_program(vm.dir, lambda: session.alive, str(vm))
        vm.data["control"] = control
        for port, nio in vm.nios.items():
            await self.connect(vm, port, nio)

    async def stop(self, vm: VM) -> None:
        await super().stop(vm)
        self._forget(vm)

    async def removed(self, vm: VM) -> None:
        self._forget(vm)

    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        control: Control = vm.data["control"]
        end = await open_udp(vm, nio, instead_of=control.ends.get(port[0]))
        try:
            await control.ask("plug", port[0], end)
        except BaseException:
            end.close()
            raise
        control.keep(port[0], end)

    async def disconnect(self, vm: VM, port: tuple[int, int]) -> None:
        control: Control = vm.data["control"]
        await control.ask("unplug", port[0])
        control.keep(port[0], None)

    async def capture(self, vm: VM, port: tuple[int, int], path: Path) -> None:
        with path.open("wb") as file:
            await vm.data["control"].ask("capture", port[0], file)

    async def end_capture(self, vm: VM, port: tuple[int, int]) -> None:
        await vm.data["control"].ask("end_capture", port[0])

    def _node(self, vm: VM) -> dict[str, Any]:
        return {
            "hostname": re.sub(r"[^A-Za-z0-9-]+", "-", vm.name).strip("-")[:63] or "node",
            "macs": [vm.mac(number) for number in range(vm.settings["adapters"])],
            "startup_script": vm.settings["startup_script"],
            "frr_conf": vm.settings["frr_conf"],
            "daemons": vm.settings["daemons"],
            "user": FIRST_USER + zlib.crc32(vm.id.encode()) % FIRST_USER,  # the same at each start: it owns the home
        }

    def _forget(self, vm: VM) -> None:
        control: Control | None = vm.data.pop("control", None)
        if control is not None:
            control.close()
