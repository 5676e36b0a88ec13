"""The driver: how a QEMU machine is started, linked, suspended, captured and shown."""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from labplane import (
    VM,
    BadRequest,
    Conflict,
    ConsoleDriver,
    Lab,
    LabError,
    Limits,
    Needs,
    ProcessDriver,
    Schema,
    Session,
    VMPort,
    open_udp,
)
from labplane_qemu import disks
from labplane_qemu.commandline import command_line, mac
from labplane_qemu.monitor import Monitor, listening
from labplane_qemu.programs import KVM, Programs
from labplane_qemu.settings import IMAGES, NICE, PROPERTIES, SUMS, check_options, normalised, split
from labplane_qemu.wires import Wires

Port = tuple[int, int]
MIB = 1024 * 1024
OWN_MEMORY = 1024 * MIB
"""What QEMU has besides the memory of its guest, at most: its libraries, threads and translated code."""
GRACEFUL = 30.0


class QemuDriver(ProcessDriver):
    """A machine is a QEMU with a serial line or a screen as its console, which changes its links by its monitor."""

    kind = "qemu"
    properties = PROPERTIES
    accepts: ClassVar[Mapping[str, Schema]] = SUMS
    readonly: ClassVar[Mapping[str, Schema]] = {**ProcessDriver.readonly, **SUMS}
    raw = True
    boots = True
    prompt = rb"(?:^|[\r\n])[^\r\n]{0,200}(?:[#$>]|login:|[Pp]assword:) ?(?:\x1b\[[0-9;?]*[A-Za-z])*"

    def __init__(self, lab: Lab, config: Mapping[str, Any], programs: Programs) -> None:
        super().__init__(lab)
        self._config = config
        self._programs = programs

    # What a machine is

    async def check(self) -> None:
        if not self._programs.installed():
            self._programs.find(PROPERTIES["qemu_path"]["default"])

    def adapters(self, vm: VM, settings: Mapping[str, Any]) -> Sequence[int]:
        return [1] * int(settings["adapters"])

    def ports(self, vm: VM) -> Sequence[VMPort]:
        return [VMPort(number, 0, f"eth{number}", mac=mac(vm, number)) for number in range(len(vm.adapters()))]

    def normalise(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return normalised(given, any_options=self._config["allow_options"])

    async def show(self, vm: VM) -> Mapping[str, Any]:
        sums = {}
        for name in IMAGES:
            try:
                path = disks.image(vm, name)
            except LabError:  # the image directory is another one since
                path = None
            sums[f"{name}_md5sum"] = None if path is None else disks.md5sum(path)
        address = mac(vm, 0)
        return {**await super().show(vm), **sums, "mac_address": address}

    def console_type(self, vm: VM) -> str:
        return str(vm.settings.get("console_type", "telnet"))

    def patience(self, vm: VM) -> float:
        return GRACEFUL if vm.settings.get("acpi_shutdown") else super().patience(vm)

    # Its life

    async def prepare(self, vm: VM) -> None:
        own = vm.settings
        program = self._programs.find(own["qemu_path"])
        await self._programs.check(program)
        with_options = self._config["allow_options"]
        try:
            check_options(own["options"], any_options=with_options)
        except BadRequest as error:
            raise Conflict(f"{vm}: {error}") from None
        most = self.lab.settings.max_vm_memory
        if own["ram"] * MIB + OWN_MEMORY > most:
            raise Conflict(
                f"{vm} has {own['ram']} MiB of memory, and a program has at most {most // MIB} MiB here, of which QEMU "
                f"itself takes up to {OWN_MEMORY // MIB}. Lower its 'ram', or raise the setting max_vm_memory."
            )
        resident = self.lab.settings.max_vm_resident
        if resident is not None and own["ram"] * MIB > resident:
            raise Conflict(
                f"{vm} has {own['ram']} MiB of memory, and all programs of a VM use up to {resident // MIB} MiB here. "
                "Lower its 'ram', or raise the setting max_vm_resident."
            )
        if own["linked_clone"] and disks.disks(vm):
            await disks.prepare(vm, self._programs.img())
        kvm = "off" if "-no-kvm" in split(own["options"]) or "-icount" in split(own["options"]) else self._config["kvm"]
        vm.data["program"] = program
        vm.data["accelerator"] = await self._programs.accelerator(program, own["platform"], kvm)

    def command(self, vm: VM) -> Sequence[str]:
        return command_line(vm, vm.data["program"], vm.data["accelerator"])

    def needs(self, vm: VM) -> Needs:
        kvm = (KVM,) if vm.data["accelerator"] == "kvm" else ()
        images = () if vm.settings["linked_clone"] else tuple(disks.disks(vm).values())
        return Needs(writes=(*kvm, *images))

    def limits(self, vm: VM) -> Limits:
        return Limits(memory=int(vm.settings["ram"]) * MIB + OWN_MEMORY)

    async def files(self, vm: VM) -> Sequence[socket.socket]:
        monitor = await asyncio.to_thread(listening, vm.dir)
        return [monitor, *(socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in vm.adapters())]

    async def launch(self, vm: VM, session: Session) -> None:
        await super().launch(vm, session)
        try:
            await self._take_up(vm, session)
            wires: Wires = vm.data["wires"]
            for number in range(len(vm.adapters())):
                nio = vm.nios.get((number, 0))
                if nio is None:
                    await wires.unplug(number)
                else:
                    await wires.plug(number, await open_udp(vm, nio))
            await self._monitor(vm).ask("cont")
        except BaseException as error:
            self._let_go(vm)
            if isinstance(error, LabError) and not session.alive:
                raise Conflict(
                    f"{vm} ended as soon as it was started. Its last words: {session.last_line or 'none'}"
                ) from None
            raise
        if vm.settings["console_type"] != "telnet":
            vm.ready = True  # nobody can see a prompt

    async def bring_up(self, vm: VM) -> None:
        """Low priorities give way to the server, as every program does; others do not."""
        if NICE[vm.settings["process_priority"]] > 0:
            await super().bring_up(vm)
        else:
            await ConsoleDriver.bring_up(self, vm)
        if vm.session is not None and vm.session.process is not None:
            self._prioritise(vm, vm.session.process.pid)

    async def recover(self, vm: VM) -> None:
        if vm.session is not None and vm.session.alive:
            await self._take_up(vm, vm.session)

    async def stop(self, vm: VM) -> None:
        session = vm.session
        if session is not None and session.alive and session.process is not None and vm.settings["acpi_shutdown"]:
            with suppress(Conflict):
                await self._shut_down(vm)
                try:
                    async with asyncio.timeout(vm.patience):
                        await session.process.wait()
                except TimeoutError:
                    vm.tell("warning", f"{vm} did not shut down within {vm.patience:g} s; it was ended.")
                    session.process.kill()
        await super().stop(vm)
        self._let_go(vm)

    async def reload(self, vm: VM) -> None:
        if vm.status == "stopped" or vm.session is None or not vm.session.alive:
            await super().reload(vm)
            return
        monitor = self._monitor(vm)
        await monitor.ask("system_reset")
        vm.ready = False
        if vm.status == "suspended":
            await monitor.ask("cont")

    async def suspend(self, vm: VM) -> None:
        await self._monitor(vm).ask("stop")

    async def resume(self, vm: VM) -> None:
        await self._monitor(vm).ask("cont")

    async def removed(self, vm: VM) -> None:
        self._let_go(vm)

    # Its links and its screen

    async def connect(self, vm: VM, port: Port, nio: Mapping[str, Any]) -> None:
        await self._wires(vm).connect(port[0], nio, vm.nios.get(port))

    async def disconnect(self, vm: VM, port: Port) -> None:
        await self._wires(vm).unplug(port[0])

    async def capture(self, vm: VM, port: Port, path: Path) -> None:
        """QEMU may write in the directory of the VM only, so the file has a second name there while it is opened."""
        name = f"capture{port[0]}.pcap"

        def link() -> None:
            (vm.dir / name).unlink(missing_ok=True)
            os.link(path, vm.dir / name, follow_symlinks=False)

        await asyncio.to_thread(link)
        try:
            what = {"qom-type": "filter-dump", "id": f"dump{port[0]}", "netdev": f"card{port[0]}", "file": name}
            await self._monitor(vm).ask("object-add", None, **what)
        finally:
            await asyncio.to_thread((vm.dir / name).unlink)

    async def end_capture(self, vm: VM, port: Port) -> None:
        await self._monitor(vm).ask("object-del", id=f"dump{port[0]}")

    async def screen(self, vm: VM) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            monitor = self._monitor(vm)
            with theirs:
                await monitor.ask("getfd", theirs, fdname="viewer")
            await monitor.ask("add_client", protocol="vnc", fdname="viewer", skipauth=True)
        except BaseException:
            ours.close()
            raise
        return ours

    # Within

    async def _take_up(self, vm: VM, session: Session) -> None:
        """Have the monitor of the machine that runs."""
        self._let_go(vm)
        vm.data["monitor"] = monitor = await Monitor.of(
            vm.dir, str(vm), lambda event, data: self._told(vm, event, data)
        )
        vm.data["wires"] = Wires(vm, monitor)
        if session.process is not None:
            self.lab.background(self._follow(vm, session.process, monitor))

    async def _follow(self, vm: VM, process: Any, monitor: Monitor) -> None:
        await process.wait()
        if vm.data.get("monitor") is monitor:
            self._let_go(vm)

    def _told(self, vm: VM, event: str, data: Mapping[str, Any]) -> None:
        monitor: Monitor | None = vm.data.get("monitor")
        if monitor is None or monitor.busy:
            return
        if event == "STOP":
            vm.report("suspended", "QEMU has stopped it; a disk may be full, or its guest has crashed")
        elif event == "RESUME":
            vm.report("started", "QEMU goes on with it")
        elif event == "BLOCK_IO_ERROR" and data.get("action") == "report":
            vm.tell("warning", f"{vm}: its disk {data.get('device', '')} cannot be read or written.")

    async def _shut_down(self, vm: VM) -> None:
        monitor = self._monitor(vm)
        vm.progress(None, f"{vm.name} shuts down.")
        if vm.status == "suspended":
            await monitor.ask("cont")
        await monitor.ask("system_powerdown")

    def _prioritise(self, vm: VM, pid: int) -> None:
        """Linux weighs whole sessions against each other (man 7 sched, autogroup), nice values within them only."""
        wanted = vm.settings["process_priority"]
        if wanted in ("low", "normal"):
            return
        try:
            os.setpriority(os.PRIO_PGRP, pid, NICE[wanted])
            Path(f"/proc/{pid}/autogroup").write_text(str(NICE[wanted]))
        except FileNotFoundError:
            pass  # a Linux without groups of sessions, or it has ended
        except OSError as error:
            vm.tell("warning", f"{vm} does not have the priority {wanted!r}: {error.strerror}.")

    def _monitor(self, vm: VM) -> Monitor:
        monitor: Monitor | None = vm.data.get("monitor")
        if monitor is None:
            raise Conflict(f"The monitor of {vm} cannot be reached; stop it and start it again.")
        return monitor

    def _wires(self, vm: VM) -> Wires:
        self._monitor(vm)
        wires: Wires = vm.data["wires"]
        return wires

    def _let_go(self, vm: VM) -> None:
        for what in ("wires", "monitor"):
            if (held := vm.data.pop(what, None)) is not None:
                held.close()
