"""A plugin of one file: a machine that is a shell, with a helper that makes a socket, and a second shell at "aux"."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from labplane import VM, Companion, Driver, Needs, Plugin, ProcessDriver, Schema, hook

SHELL = ("/bin/bash", "--norc", "-i")
HELPER = """
import socket, sys, time
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", int(sys.argv[1])))
time.sleep(float(sys.argv[2]))
listening = socket.socket(socket.AF_UNIX)
listening.bind("helper.sock")
listening.listen()
print("helps", flush=True)
listening.accept()
sys.exit(3)
"""


class Shells(ProcessDriver):
    kind = "shells"
    consoles = ("aux",)
    properties: ClassVar[Mapping[str, Schema]] = {
        "helper": {"type": "string", "default": HELPER},
        "late": {"type": "number", "default": 0.2},
    }

    def companions(self, vm: VM) -> Sequence[Companion]:
        helper = (sys.executable, "-IS", "-c", vm.settings["helper"], str(vm.data["port"]), str(vm.settings["late"]))
        usual = Needs(executes=(Path("/usr"), Path("/bin")))
        return [
            Companion("helper", helper, ready=vm.dir / "helper.sock"),
            Companion("aux", SHELL, usual),
        ]

    def command(self, vm: VM) -> Sequence[str]:
        return SHELL

    def needs(self, vm: VM) -> Needs:
        return Needs(executes=(Path("/usr"), Path("/bin")))

    def patience(self, vm: VM) -> float:
        return 0.1

    async def prepare(self, vm: VM) -> None:
        vm.data["port"] = await vm.udp_port("helper")


class Brings(Plugin):
    @hook
    def drivers(self) -> list[Driver]:
        return [Shells(self.lab)]
