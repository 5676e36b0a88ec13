"""`EngineDriver`: the base class of drivers whose machines are no programs and run in the server's engine."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from labplane.emulators.session import Session
from labplane.errors import Conflict, Unavailable
from labplane.machines.driver import ConsoleDriver
from labplane.machines.udp_ends import open_udp

if TYPE_CHECKING:
    from labplane.machines.vm import VM


class EngineDriver(ConsoleDriver):
    """A driver of machines that are no programs: all of them run in one process, the engine, and outlast the server.

    machine: the class of the machine, as ``package.module:Class``. The engine imports it, with what is installed beside
             labplane, and calls it for each start with its surroundings, a `labplane_engine.World`; with settings, in
             JSON types; and with descriptors, the first of the VM's directory, then one of the end of each link.

    The settings are those of `machine_settings` and ``ports``, the adapter and number of each linked port, in the order
    of the descriptors. A link that is changed counts from the next start on.
    """

    machine: ClassVar[str]
    hands_over: ClassVar[bool] = True

    def machine_settings(self, vm: "VM") -> Mapping[str, Any]:
        """What the machine of `vm` is called with: the settings of the VM, unless this is overridden."""
        return vm.settings

    async def launch(self, vm: "VM", session: Session) -> None:
        """Make the machine in the engine."""
        ends = []
        try:
            for nio in vm.nios.values():
                ends.append(await open_udp(vm, nio))  # noqa: PERF401 - to be closed, too, when a later one fails
            settings = {**self.machine_settings(vm), "ports": [*vm.nios]}
            await run_in_engine(vm, session, self.machine, settings, [end.fileno() for end in ends])
        finally:
            for end in ends:
                end.close()

    async def recover(self, vm: "VM") -> None:
        """Take over the machine that an earlier server has left."""
        await recover_in_engine(vm)


async def run_in_engine(
    vm: "VM",
    session: Session,
    machine: str,
    settings: Mapping[str, Any],
    descriptors: list[int],
    command_line: str = "",
) -> None:
    """Make a machine of `vm` in the engine and put it behind the console of `session`, as an `EngineDriver` does.

    machine:      its class, as ``package.module:Class``.
    descriptors:  what it gets beside that of the VM's directory; the caller closes its own.
    command_line: what is listed of it, and what `recover_in_engine` gives the VM again.

    Raises Unavailable when the engine cannot be started, or the machine not be made.
    """
    note = {"kind": vm.driver.kind, "project_id": vm.project_id, "command_line": command_line}
    try:
        await session.make(vm.lab.engine, machine, settings, vm.dir, descriptors, name=vm.id, note=note)
    except OSError as error:
        raise Unavailable(f"{vm} cannot be started: {error.strerror or error}") from None


async def recover_in_engine(vm: "VM") -> None:
    """Take over the machine of `vm` that an earlier server has left in the engine, if it runs: at the same console.

    Raises Unavailable when the engine cannot be asked.
    """
    driver = vm.driver
    assert isinstance(driver, ConsoleDriver), "its machines have consoles"  # noqa: S101
    session = driver.new_session(vm)
    try:
        note = await session.take_over(vm.lab.engine, vm.id)
    except OSError as error:
        raise Unavailable(f"{vm} cannot be taken over: {error.strerror or error}") from None
    if note is None:
        return
    vm.session = session
    vm.command_line = note["command_line"]
    try:
        await driver.open_console(vm, session)
    except Conflict as error:
        vm.tell("error", f"{vm} runs on, but without its console: {error}")
