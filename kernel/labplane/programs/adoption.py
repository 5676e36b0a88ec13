"""Taking over what an earlier server's keeper still runs, and telling how the rest has ended."""

import logging
import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labplane.emulators.limits import out_of_memory
from labplane.errors import Conflict
from labplane.machines.driver import ConsoleDriver, Driver
from labplane.machines.lifecycle import make_way
from labplane.machines.udp_ends import take_back
from labplane.machines.vm import STARTED, STOPPED, SUSPENDED, VM
from labplane.programs import companions
from labplane.programs.process_driver import ProcessDriver

if TYPE_CHECKING:
    from labplane.machines.lab import Lab

log = logging.getLogger("labplane")

Runs = dict[str, dict[str, Any]]  # of the keeper, by their ids


class Adoption:
    """What the keeper of a lab ran when its server started: the keeper is the truth of it."""

    def __init__(self, lab: "Lab") -> None:
        self._terminals = lab.terminals
        self._engine = lab.engine
        self._runs: dict[str, Runs] | None = None  # of each VM, by its id
        self._sockets: Mapping[int, set[str]] | None = None

    async def adopt(self, vm: VM) -> None:
        """Take over what runs of `vm`, have its driver `recover` it, or note how it ended. Raises LabError."""
        others = (await self._there()).pop(vm.id, {})
        run = others.pop(vm.id, None)
        if run is None:
            await self._end(others)
            if vm.wanted != STOPPED:
                with vm.deed("recover"):
                    await self._recover(vm)
        elif run["status"] is not None or not isinstance(vm.driver, ProcessDriver) or not survives(vm.driver):
            if run["status"] is None and isinstance(vm.driver, ProcessDriver):
                self._terminals.adopt(run).kill()
            await self._end(others)
            vm.last_exit = await self._last_exit(run)
            status, last = vm.last_exit["status"], vm.last_exit["last_line"]
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            words = f"{vm} ended {how} while no server was there. Its last words: {last}"
            vm.tell("error" if status else "info", words + out_of_memory(run.get("out_of_memory")))
        else:
            with vm.deed("take over"):
                await self._take_over(vm, vm.driver, run, others)

    async def end_others(self) -> None:
        """End what no VM has taken over, and nobody else has claimed."""
        for runs in (await self._there()).values():
            await self._end({name: run for name, run in runs.items() if name not in self._terminals.claimed})
        self._runs, self._sockets = {}, None
        try:
            await self._engine.end_others()
        except OSError as error:
            log.error("What an earlier server has left in its engine cannot be ended: %s", error)

    async def _there(self) -> dict[str, Runs]:
        if self._runs is None:
            self._runs = {}
            try:
                for run in await self._terminals.runs():
                    self._runs.setdefault(companions.vm_of(run["id"]), {})[run["id"]] = run
            except OSError as error:
                log.error("What an earlier server has left cannot be known, and no program be started: %s", error)
        return self._runs

    async def _last_exit(self, run: dict[str, Any]) -> dict[str, Any]:
        """How `run` ended, when it has; then the keeper may forget it."""
        printed: list[bytes] = []
        process = self._terminals.adopt(run, printed.append)
        returncode = await process.wait()
        last = b"".join(printed)[-512:].decode(errors="replace").strip().rsplit("\n", 1)[-1].strip()
        return {"status": returncode, "last_line": last}

    async def _recover(self, vm: VM) -> None:
        if hasattr(vm.driver, "recover"):
            try:
                await make_way(vm)
                for lport in [number for number in vm.lab.udp.of(vm) if not vm.lab.udp.is_free_on_host(number)]:
                    vm.lent.add(lport)  # to what runs it without a server
                    vm.lab.udp.lend(lport)
                await vm.supervised(vm.driver.recover(vm))
            except BaseException:
                take_back(vm)
                raise
            if not isinstance(vm.driver, ConsoleDriver) or (vm.session is not None and vm.session.alive):
                vm.status = SUSPENDED if vm.wanted == SUSPENDED else STARTED
                return
            take_back(vm)
        vm.last_exit = {"status": None, "last_line": ""}
        vm.tell("warning", f"{vm} no longer runs: it ended with its server, its keeper or the system. Start it again.")

    async def _end(self, runs: Runs) -> None:
        for run in runs.values():
            if run["status"] is None:
                self._terminals.adopt(run).kill()
            await self._last_exit(run)

    async def _take_over(self, vm: VM, driver: ProcessDriver, run: dict[str, Any], others: Runs) -> None:
        """Put `vm` in front of the process again: same process, same companions, same console ports, same lports."""
        names = {name: companions.run_of(vm, name) for name in run["note"].get("companions", ())}
        for name, its in names.items():
            if its not in others or others[its]["status"] is not None:
                await self._end({vm.id: run, **others})
                raise Conflict(f"Its {name} has ended while no server was there, and so it is ended too.")
        pids = [run["pid"], *(others[its]["pid"] for its in names.values())]
        for lport in {*run["note"]["lports"], *(nio["lport"] for nio in vm.nios.values() if "lport" in nio)}:
            if lport in vm.lab.udp and vm.lab.udp.owner(lport) is vm and any(self._has(pid, lport) for pid in pids):
                vm.lent.add(lport)
                vm.lab.udp.lend(lport)
            elif lport in run["note"]["lports"] and not vm.lab.udp.is_free_on_host(lport):
                await self._end({vm.id: run, **others})
                raise Conflict(f"The UDP port {lport}, which it had, is in use by another program. It is stopped.")
        try:
            session = vm.session = driver.new_session(vm)
            session.adopt(self._terminals, run)
            for name, its in names.items():
                await companions.adopt(driver, vm, session, name, others[its])
            vm.command_line = run["note"]["command_line"]
            vm.ready = not driver.boots or driver.prompt is None
            try:
                await driver.open_console(vm, session)
            except Conflict as error:
                vm.tell("error", f"{vm} runs on, but without its console: {error}")
            if hasattr(driver, "recover"):
                await vm.supervised(driver.recover(vm))
        except BaseException:
            if vm.session is not None:
                await vm.session.close()
            take_back(vm)
            raise
        vm.status = SUSPENDED if vm.wanted == SUSPENDED else STARTED

    def _has(self, pid: int, number: int) -> bool:
        """Whether the process `pid`, or another one of its session, has UDP `number`."""
        if self._sockets is None:
            self._sockets = _udp_sockets()
        wanted = self._sockets.get(number, set())
        if not wanted:
            return False
        if wanted & _files(pid):
            return True
        return any(wanted & _files(other) for other in _session(pid))


def survives(driver: Driver) -> bool:
    """Whether its VMs that run outlast a server: what the driver can `recover`, and programs, unless they have `files`.

    The other end of such a file, a monitor say, was the server's and is lost with it.
    """
    if hasattr(driver, "recover"):
        return True
    return isinstance(driver, ProcessDriver) and type(driver).files is ProcessDriver.files


def _udp_sockets() -> Mapping[int, set[str]]:
    """What the descriptors of those who have them lead to, of each UDP port that somebody has."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with suppress(FileNotFoundError), open(table) as file:
            next(file)
            for line in file:
                columns = line.split()
                found[int(columns[1].rpartition(":")[2], 16)].add(f"socket:[{columns[9]}]")
    return found


def _files(pid: int) -> set[str]:
    files = set()
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                files.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return files


def _session(leader: int) -> list[int]:
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(entry.name)) == leader:
                members.append(int(entry.name))
    return members
