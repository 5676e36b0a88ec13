"""A plugin of one file with hosts that answer ARP at each of their two adapters, and mutants of them."""

import asyncio
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any, ClassVar

from labplane import VM, Driver, Plugin, ProcessDriver, Schema, Session, hook, open_udp

MAC = bytes.fromhex("020000000001")
ADDRESSES = ("10.66.0.1", "10.66.1.1")

PROGRAM = """
import socket, sys, time
ends = []
for port in sys.argv[2:]:
    ends.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    ends[-1].bind(("127.0.0.1", int(port)))
print(sys.argv[1], flush=True)
while True: time.sleep(60)
"""


class Host(Driver):
    """Without a fault: can be suspended, reloaded and re-wired while it runs."""

    kind = "host"
    console = False
    properties: ClassVar[Mapping[str, Schema]] = {
        "adapters": {"type": "integer", "minimum": 0, "maximum": 2, "default": 2}
    }

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        return (1,) * int(settings["adapters"])

    async def start(self, vm: VM) -> None:
        vm.data["ends"] = {}
        vm.data["suspended"] = False
        for port, nio in vm.nios.items():
            await self.connect(vm, port, nio)

    async def stop(self, vm: VM) -> None:
        for port in list(vm.data["ends"]):
            self.close(vm, port)

    async def reload(self, vm: VM) -> None:
        if vm.status != "stopped":
            await self.stop(vm)
        await self.start(vm)

    async def suspend(self, vm: VM) -> None:
        vm.data["suspended"] = True

    async def resume(self, vm: VM) -> None:
        vm.data["suspended"] = False

    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        former = vm.data["ends"].get(port)
        end = await open_udp(vm, nio, instead_of=former)
        if former is not None:
            self.close(vm, port)
        vm.data["ends"][port] = end
        asyncio.get_running_loop().add_reader(end, self.hear, vm, port, end, nio)

    async def disconnect(self, vm: VM, port: tuple[int, int]) -> None:
        self.close(vm, port)

    def close(self, vm: VM, port: tuple[int, int]) -> None:
        if (end := vm.data["ends"].pop(port, None)) is not None:
            asyncio.get_running_loop().remove_reader(end)
            end.close()

    def hear(self, vm: VM, port: tuple[int, int], end: socket.socket, nio: Mapping[str, Any]) -> None:
        try:
            frame = end.recv(65535)
        except OSError:
            return
        address = IPv4Address(ADDRESSES[port[0]]).packed
        if vm.data["suspended"] or frame[12:14] != b"\x08\x06" or frame[38:42] != address:
            return
        self.answer(end, frame[6:12] + MAC + frame[12:20] + b"\0\2" + MAC + address + frame[22:32], nio)

    def answer(self, end: socket.socket, frame: bytes, nio: Mapping[str, Any]) -> None:
        end.send(frame)


class Elsewhere(Host):
    """Sends what it answers to the port beside the one of its far end."""

    def answer(self, end: socket.socket, frame: bytes, nio: Mapping[str, Any]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(frame, (nio["rhost"], nio["rport"] + 1))


class OtherSource(Host):
    """Answers to the right port, from a wrong one."""

    def answer(self, end: socket.socket, frame: bytes, nio: Mapping[str, Any]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(frame, (nio["rhost"], nio["rport"]))


class Unbound(Host):
    """Never binds an lport."""

    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        pass


class Unrewired(Host):
    """Goes on with the links that it had when it was started."""

    async def start(self, vm: VM) -> None:
        vm.data["ends"] = {}
        vm.data["suspended"] = False
        for port, nio in vm.nios.items():
            await super().connect(vm, port, nio)

    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        pass

    async def disconnect(self, vm: VM, port: tuple[int, int]) -> None:
        pass


class Restless(Host):
    """Goes on when it is suspended."""

    async def suspend(self, vm: VM) -> None:
        pass


class Unreloaded(Host):
    """Does not come back after a reload."""

    async def reload(self, vm: VM) -> None:
        if vm.status != "stopped":
            await self.stop(vm)


class OneAdapter(Host):
    """Links its first adapter only."""

    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        if port[0] == 0:
            await super().connect(vm, port, nio)


class Swapped(Host):
    """Has its two adapters the other way round, and answers at one for both."""

    def hear(self, vm: VM, port: tuple[int, int], end: socket.socket, nio: Mapping[str, Any]) -> None:
        super().hear(vm, (1 - port[0], 0), end, nio)


class Shrinking(Host):
    """Makes up its mind about its adapters only when it has been configured."""

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        return (1,) * int(vm.data.get("adapters", 2))

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        vm.data["adapters"] = changes.get("adapters", vm.data.get("adapters", 2))


class Program(ProcessDriver):
    """Without a fault: a program with a socket at each link, and a setting that it prints."""

    kind = "host"
    properties: ClassVar[Mapping[str, Schema]] = {
        "motto": {"enum": ["a", "b"], "default": "a"},
        "speed": {"enum": ["slow", "fast"], "default": "slow"},
    }

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        return (1, 1)

    async def launch(self, vm: VM, session: Session) -> None:
        await super().launch(vm, session)
        while session.alive and not session.last_words:  # it prints when all its sockets are bound
            await asyncio.sleep(0.01)

    def command(self, vm: VM) -> Sequence[str]:
        words = [vm.settings["motto"] + vm.settings["speed"], *(str(nio["lport"]) for nio in vm.nios.values())]
        return [sys.executable, "-I", "-S", "-c", PROGRAM, *words]


class Ignoring(Program):
    """Heeds one setting of two."""

    def command(self, vm: VM) -> Sequence[str]:
        return [word.removesuffix(vm.settings["speed"]) for word in super().command(vm)]


class HalfBound(Program):
    """Binds the lport of its first link."""

    def command(self, vm: VM) -> Sequence[str]:
        return super().command(vm)[: -max(0, len(vm.nios) - 1)]


class StuckToItsLinks(Program):
    """Goes on with the lports of its first start."""

    def command(self, vm: VM) -> Sequence[str]:
        kept: Sequence[str] = vm.data.setdefault("command", super().command(vm))
        return kept


class Unconfined(Program):
    """May do whatever the server may."""

    confined = False


class Hosts(Plugin):
    """Brings the host, or the one mutant, that its settings name."""

    settings: ClassVar[Mapping[str, Schema]] = {"class": {"type": "string", "default": "Host"}}

    @hook
    def drivers(self) -> Iterable[Driver]:
        drivers: list[type[Driver]] = [Host, Program, *Host.__subclasses__(), *Program.__subclasses__()]
        (chosen,) = (cls for cls in drivers if cls.__name__ == self.config["class"])
        return [chosen(self.lab)]
