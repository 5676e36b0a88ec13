"""A labplane plugin: VMs of the kind "tiny", an emulator with a monitor, an image and two cards."""

import asyncio
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from labplane import VM, Conflict, Driver, Needs, Plugin, ProcessDriver, Schema, Session, hook, open_udp

PROGRAM = Path(__file__).with_name("_machine.py")
Port = tuple[int, int]


class TinyDriver(ProcessDriver):
    kind = "tiny"
    properties: ClassVar[Mapping[str, Schema]] = {
        "image": {"type": "string", "format": "labplane-image", "default": "", "x-change": "stopped"}
    }

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        return (1, 1)

    async def prepare(self, vm: VM) -> None:
        if not vm.settings["image"]:
            raise Conflict(f"{vm} has no image; PUT its setting 'image' first.")

    def needs(self, vm: VM) -> Needs:
        return Needs(reads=(PROGRAM,))

    def command(self, vm: VM) -> Sequence[str]:
        return [sys.executable, "-I", "-S", str(PROGRAM), *map(str, vm.images())]

    async def files(self, vm: VM) -> Sequence[socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        vm.data["monitor"], vm.data["ends"] = ours, {}
        return [theirs]

    async def launch(self, vm: VM, session: Session) -> None:
        try:
            await super().launch(vm, session)
            for port, nio in vm.nios.items():
                await self.connect(vm, port, nio)
        except BaseException:
            self.let_go(vm.data["monitor"], vm.data["ends"])
            raise
        assert session.process is not None
        self.lab.background(self.watch(session.process, vm.data["monitor"], vm.data["ends"]))

    async def watch(self, process: Any, monitor: socket.socket, ends: dict[Port, socket.socket]) -> None:
        await process.wait()
        self.let_go(monitor, ends)

    def let_go(self, monitor: socket.socket, ends: dict[Port, socket.socket]) -> None:
        for one in (monitor, *ends.values()):
            one.close()

    async def stop(self, vm: VM) -> None:
        await super().stop(vm)
        if "monitor" in vm.data:  # at once, and not only when `watch` has its turn: the lports are wanted again
            self.let_go(vm.data["monitor"], vm.data["ends"])

    async def connect(self, vm: VM, port: Port, nio: Mapping[str, Any]) -> None:
        ends = vm.data["ends"]
        end = await open_udp(vm, nio, instead_of=ends.get(port))
        if (former := ends.get(port)) is not None:
            former.close()
        ends[port] = end
        await self.tell(vm, f"link {port[0]}", end)

    async def disconnect(self, vm: VM, port: Port) -> None:
        await self.tell(vm, f"unlink {port[0]}")
        vm.data["ends"].pop(port).close()

    async def suspend(self, vm: VM) -> None:
        await self.tell(vm, "suspend -")

    async def resume(self, vm: VM) -> None:
        await self.tell(vm, "resume -")

    async def tell(self, vm: VM, line: str, *files: socket.socket) -> None:
        monitor = vm.data["monitor"]
        try:
            socket.send_fds(monitor, [line.encode()], [one.fileno() for one in files])
            answer = await asyncio.get_running_loop().sock_recv(monitor, 100)
        except OSError:
            answer = b""
        if not answer:
            raise Conflict(f"The monitor of {vm} does not answer; its program has ended.")


class Tiny(Plugin):
    @hook
    def drivers(self) -> Iterable[Driver]:
        return [TinyDriver(self.lab)]
