"""`PumpedDriver`: the half of a driver that starts, links and captures what carries its frames itself."""

import asyncio
import json
import socket
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labplane import VM, Lab, ProcessDriver, Session, open_udp, resolve_rhost
from labplane_linux.control import Control

HERE = Path(__file__).resolve().parent.parent
CONFIG = ".labplane-node.json"
PROGRAM = f"import sys; sys.path.append({str(HERE)!r}); from labplane_linux_node.__main__ import main; sys.exit(main())"


class PumpedDriver(ProcessDriver):
    """A driver whose program is ``labplane_linux_node``, which has a pump for the frames of each adapter.

    config: the plugin's settings; ``python`` is the interpreter of the program.
    """

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab)
        self.config = config

    @abstractmethod
    def program_config(self, vm: VM) -> Mapping[str, Any]:
        """What the program of `vm` is told at its start."""

    def command(self, vm: VM) -> Sequence[str]:
        return [self.config["python"] or sys.executable, "-I", "-c", PROGRAM, CONFIG]

    async def launch(self, vm: VM, session: Session) -> None:
        text = json.dumps(self.program_config(vm))
        await asyncio.to_thread((vm.dir / CONFIG).write_text, text, "utf-8")
        await super().launch(vm, session)
        await self._reach(vm, session)

    async def recover(self, vm: VM) -> None:
        """The program went on without a server; a link may have been changed just when that ended."""
        if vm.session is not None:
            await self._reach(vm, vm.session)

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

    async def _reach(self, vm: VM, session: Session) -> None:
        """Connect to the program, and have each of its links as the VM has it."""
        control = await Control.of_program(vm.dir, lambda: session.alive, str(vm))
        vm.data["control"] = control
        for adapter in control.ends.keys() - {adapter for adapter, _ in vm.nios}:
            await self.disconnect(vm, (adapter, 0))
        for port, nio in vm.nios.items():
            if not await _is_end_of(nio, control.ends.get(port[0])):
                await self.connect(vm, port, nio)

    def _forget(self, vm: VM) -> None:
        control: Control | None = vm.data.pop("control", None)
        if control is not None:
            control.close()


async def _is_end_of(nio: Mapping[str, Any], end: socket.socket | None) -> bool:
    if end is None:
        return False
    ports: tuple[int, int] = end.getsockname()[1], end.getpeername()[1]
    return ports == (nio["lport"], nio["rport"]) and end.getpeername()[0] == await resolve_rhost(nio["rhost"])
