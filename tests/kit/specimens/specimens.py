"""A plugin of one file with a driver that does all by itself and right, and mutants of it with one defect each."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from labplane import (
    VM,
    BadRequest,
    Conflict,
    ConsoleDriver,
    Driver,
    Plugin,
    Schema,
    Session,
    Unavailable,
    find_program,
    hook,
)

# It ends with its server, however and whenever that ends (man 2 prctl, PR_SET_PDEATHSIG): nobody would take it over.
TICKS = """
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(1, 9)
while os.getppid() == int(sys.argv[1]):
    time.sleep(60)
"""


class Reference(Driver):
    """A process and a console of its own, without ProcessDriver; can do all that there is."""

    kind = "specimen"
    properties: ClassVar[Mapping[str, Schema]] = {
        "count": {"type": "integer", "minimum": 0, "maximum": 1000, "default": 3},
        "speed": {"enum": ["slow", "fast"], "default": "slow"},
        "motto": {"type": ["string", "null"], "maxLength": 200},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
    }
    readonly: ClassVar[Mapping[str, Schema]] = {"pid": {"type": ["integer", "null"]}}

    def adapters(self, vm: VM) -> Sequence[int]:
        return (1, 2)

    async def check(self) -> None:
        find_program("sh", "Install a shell.")

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        if "\0" in (changes.get("motto") or ""):
            raise BadRequest("A motto has no NUL.")

    async def show(self, vm: VM) -> Mapping[str, Any]:
        process = vm.data.get("process")
        return {**await super().show(vm), "pid": process.pid if process else None}

    async def start(self, vm: VM) -> None:
        vm.data["viewers"] = set()
        await self.open_console(vm)
        process = await asyncio.create_subprocess_exec(*self.command(vm), cwd=vm.dir, start_new_session=True)
        vm.data["process"] = process
        self.lab.background(self.watch(vm, process))

    def command(self, vm: VM) -> Sequence[str]:
        return [sys.executable, "-I", "-S", "-c", TICKS, str(os.getpid())]

    async def watch(self, vm: VM, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if vm.data.get("process") is process:
            self.close_console(vm)
            vm.data["process"] = None
            vm.status = "stopped"

    async def stop(self, vm: VM) -> None:
        process, vm.data["process"] = vm.data["process"], None
        self.close_console(vm)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def reload(self, vm: VM) -> None:
        if vm.data.get("process"):
            await self.stop(vm)
        await self.start(vm)

    async def suspend(self, vm: VM) -> None:
        vm.data["process"].send_signal(signal.SIGSTOP)

    async def resume(self, vm: VM) -> None:
        vm.data["process"].send_signal(signal.SIGCONT)

    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        vm.data[f"nio {port}"] = nio

    async def disconnect(self, vm: VM, port: tuple[int, int]) -> None:
        vm.data.pop(f"nio {port}", None)

    async def open_console(self, vm: VM) -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self.greet(vm, writer)

        vm.data["console"] = await asyncio.start_server(greet, self.lab.settings.console_host, vm.console)

    async def greet(self, vm: VM, writer: asyncio.StreamWriter) -> None:
        vm.data["viewers"].add(writer)
        writer.write(b"Hello\r\n")

    def close_console(self, vm: VM) -> None:
        vm.data["console"].close()
        for viewer in vm.data["viewers"]:
            viewer.close()


class Plain(Driver):
    """The least that a driver can be: no process, no console, no setting, no link."""

    kind = "specimen"
    console = False
    nios: ClassVar[Mapping[str, Schema]] = {}

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


class LeakingStop(Reference):
    def command(self, vm: VM) -> Sequence[str]:
        return ["/bin/sleep", "2"]

    async def stop(self, vm: VM) -> None:
        vm.data["process"] = None
        self.close_console(vm)


class HastyStop(Reference):
    async def stop(self, vm: VM) -> None:
        process, vm.data["process"] = vm.data["process"], None
        self.close_console(vm)
        asyncio.get_running_loop().call_later(1.0, process.kill)


class Daemon(Reference):
    """Starts another program too, which leaves the family and stays."""

    async def start(self, vm: VM) -> None:
        command = ["/bin/sh", "-c", "sleep 5 >/dev/null 2>&1 &"]
        process = await asyncio.create_subprocess_exec(*command, cwd=vm.dir, start_new_session=True)
        await process.wait()
        await super().start(vm)


class LyingStatus(Reference):
    async def watch(self, vm: VM, process: asyncio.subprocess.Process) -> None:
        await process.wait()


class ShortLife(Reference):
    def command(self, vm: VM) -> Sequence[str]:
        return ["/bin/sleep", "0.2"]


class HastyStart(Reference):
    async def open_console(self, vm: VM) -> None:
        vm.data["console"] = asyncio.Server  # which nobody closes before it is there

        async def later() -> None:
            await asyncio.sleep(0.3)
            if vm.data.get("process"):
                await Reference.open_console(self, vm)

        self.lab.background(later())

    def close_console(self, vm: VM) -> None:
        if vm.data["console"] is not asyncio.Server:
            super().close_console(vm)


class LockBypass(Reference):
    """Lets go of the VM while it takes its time, so that others begin meanwhile."""

    async def start(self, vm: VM) -> None:
        vm.lock.release()
        await asyncio.sleep(0.1)
        await vm.lock.acquire()
        if vm.data.get("process"):
            self.lab.background(self.stray(vm))
        else:
            await super().start(vm)

    async def stray(self, vm: VM) -> None:
        process = await asyncio.create_subprocess_exec("/bin/sleep", "2")
        await process.wait()


class OnceOnly(Reference):
    async def start(self, vm: VM) -> None:
        if vm.data.setdefault("starts", 0) > 0:
            raise Conflict("It was started before.")
        vm.data["starts"] += 1
        await super().start(vm)


class RestartElsewhere(Reference):
    async def start(self, vm: VM) -> None:
        if vm.console is not None and "process" in vm.data:
            former, vm.console = vm.console, self.lab.consoles.lease(vm)
            self.lab.consoles.lend(vm.console)
            self.lab.consoles.release(former, vm)
        await super().start(vm)


class LentPorts(Reference):
    async def stop(self, vm: VM) -> None:
        for nio in vm.nios.values():
            self.lab.udp.release(nio["lport"], vm)
        await super().stop(vm)


class LentConsole(Reference):
    async def stop(self, vm: VM) -> None:
        self.lab.consoles.release(vm.console or 0, vm)
        await super().stop(vm)


class LostUDPPort(Reference):
    async def start(self, vm: VM) -> None:
        self.lab.udp.lease(self)
        await super().start(vm)


class LostConsole(Reference):
    async def start(self, vm: VM) -> None:
        self.lab.consoles.lease(self)
        await super().start(vm)


class LostDescriptor(Reference):
    async def start(self, vm: VM) -> None:
        os.open("/dev/null", os.O_RDONLY)
        await super().start(vm)


class LostFile(Reference):
    async def start(self, vm: VM) -> None:
        tempfile.mkstemp()
        await super().start(vm)


class FileInProject(Reference):
    async def start(self, vm: VM) -> None:
        (vm.dir.parent / f"{vm.id}.pid").write_text("1")
        await super().start(vm)


class FileInProjects(Reference):
    async def start(self, vm: VM) -> None:
        (Path(self.lab.settings.projects_dir) / f"{vm.id}.pid").write_text("1")
        await super().start(vm)


class NoDefaults(Reference):
    async def show(self, vm: VM) -> Mapping[str, Any]:
        return {**await super().show(vm), "count": vm.settings["count"] if "count" in vm.data else 0}

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        if "count" in changes:
            vm.data["count"] = True


class IgnoredSetting(Reference):
    async def show(self, vm: VM) -> Mapping[str, Any]:
        return {**await super().show(vm), "speed": "slow"}


class MissingMember(Reference):
    async def show(self, vm: VM) -> Mapping[str, Any]:
        return {name: value for name, value in (await super().show(vm)).items() if name != "speed"}


class WrongType(Reference):
    async def show(self, vm: VM) -> Mapping[str, Any]:
        return {**await super().show(vm), "count": str(vm.settings.get("count"))}


class NoNull(Reference):
    properties: ClassVar[Mapping[str, Schema]] = {**Reference.properties, "size": {"type": "integer"}}


class CrashingSetting(Reference):
    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        (changes.get("motto") or "").encode("ascii")


class CrashingUpdate(Reference):
    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        if vm.settings and "count" in changes:
            vm.data["rate"] = 1000 / changes["count"]


class CrashingStart(Reference):
    async def start(self, vm: VM) -> None:
        (vm.settings["motto"] or "").encode("ascii")
        await super().start(vm)


class ChangesBeforeRefusing(Reference):
    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        vm.settings.update({name: value for name, value in changes.items() if name != "name"})
        if changes.get("count", 0) % 2:
            raise Conflict("Only even counts.")


class Unnameable(Reference):
    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        if vm.settings and "name" in changes:
            raise Conflict("A VM keeps its name.")


class CheckIgnored(Reference):
    def __setattr__(self, name: str, value: Any) -> None:
        if name != "check":
            super().__setattr__(name, value)


class CrashingCheck(Reference):
    async def check(self) -> None:
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()


class SpeechlessCheck(Reference):
    async def check(self) -> None:
        try:
            find_program("true", "Install coreutils.")
        except Unavailable:
            raise Unavailable from None


class DeafConsole(Reference):
    async def open_console(self, vm: VM) -> None:
        vm.data["console"] = await asyncio.start_server(lambda *_: None, self.lab.settings.console_host, 0)


class RudeConsole(Reference):
    async def greet(self, vm: VM, writer: asyncio.StreamWriter) -> None:
        writer.close()


class ConsoleForOne(Reference):
    async def greet(self, vm: VM, writer: asyncio.StreamWriter) -> None:
        if vm.data["viewers"]:
            writer.close()
        else:
            await super().greet(vm, writer)


class ClingingConsole(Reference):
    def close_console(self, vm: VM) -> None:
        vm.data["console"].close()


class NoNIOs(Reference):
    async def link(self, vm: VM, nio: Mapping[str, Any]) -> None:
        raise Conflict("Not now.")


class CrashingRewiring(Reference):
    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        pass

    async def disconnect(self, vm: VM, port: tuple[int, int]) -> None:
        del vm.data[f"nio {port}"]


class CrashingResume(Reference):
    async def resume(self, vm: VM) -> None:
        vm.data["process"].resume()


class StuckReload(Reference):
    async def reload(self, vm: VM) -> None:
        await self.stop(vm)
        await self.start(vm)


class StuckWhenSuspended(Reference):
    async def stop(self, vm: VM) -> None:
        if vm.status == "suspended":
            raise Conflict("Resume it first.")
        await super().stop(vm)


class ConsoleOnce(Reference):
    async def open_console(self, vm: VM) -> None:
        if "console" not in vm.data:
            await super().open_console(vm)


class LostAtTheEnd(Reference):
    async def removed(self, vm: VM) -> None:
        os.open("/dev/null", os.O_RDONLY)


class Restless(Reference):
    async def show(self, vm: VM) -> Mapping[str, Any]:
        vm.data["shown"] = vm.data.get("shown", 0) + 1
        return {**await super().show(vm), "pid": vm.data["shown"]}


class Choosy(Reference):
    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        if "tags" in changes and not changes["tags"]:
            raise BadRequest("At least one tag.")


class FailingFarewell(Reference):
    async def removed(self, vm: VM) -> None:
        del vm.data["notes"]


class Parrot:
    """A machine in the server itself: it prints each line that is typed at it, and ends at the line "bye"."""

    def __init__(self, session: Session) -> None:
        self.returncode: int | None = None
        self._session = session
        self._line = b""
        session.printed(b"Polly\r\n> ")

    def write(self, data: bytes) -> None:
        self._session.printed(data.replace(b"\r", b"\r\n"))
        *lines, self._line = (self._line + data).split(b"\r")
        for line in lines:
            if line == b"bye":
                self.end(0)
                return
            self._session.printed(line + b"\r\n> ")

    def end(self, returncode: int) -> None:
        if self.returncode is None:
            self.returncode = returncode
            self._session.ended(returncode)

    async def stop(self) -> None:
        self.end(-15)


class Talking(ConsoleDriver):
    """A console without a program."""

    kind = "specimen"

    async def launch(self, vm: VM, session: Session) -> None:
        session.run(Parrot(session))


class Specimens(Plugin):
    """Brings the driver, or the one mutant, that its settings name; a server with all of them takes its time."""

    settings: ClassVar[Mapping[str, Schema]] = {"class": {"type": "string", "default": "Reference"}}

    @hook
    def drivers(self) -> Iterable[Driver]:
        drivers: list[type[Driver]] = [Reference, Plain, Talking, *Reference.__subclasses__()]
        (chosen,) = (cls for cls in drivers if cls.__name__ == self.config["class"])
        return [chosen(self.lab)]
