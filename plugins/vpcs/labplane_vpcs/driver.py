"""The driver: how a VPCS is created, linked, started and shown, whichever engine it has."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from labplane import (
    NIO_TAP,
    NIO_UDP,
    VM,
    BadRequest,
    Conflict,
    Lab,
    Needs,
    ProcessDriver,
    Schema,
    Session,
    Store,
    recover_in_engine,
    resolve_rhost,
)
from labplane_vpcs import script
from labplane_vpcs.built_in import BuiltIn
from labplane_vpcs.launches import Launches
from labplane_vpcs.mac_ids import MAC_IDS, MacIds, first_id
from labplane_vpcs.program import Program, Programs
from labplane_vpcs.relay import Binding, Overtaken, Relays
from labplane_vpcs.sockets import has_udp_port, open_files

UP_WITHIN = 10.0
LAUNCHES_AT_ONCE = 2 * (os.cpu_count() or 1)
PORT = (0, 0)
MAC_ID = "mac_id "  # before the number in a key of the store, so that a project has each once
TUN = Path("/dev/net/tun")
PROGRAM, BUILT_IN, AUTO = "vpcs", "builtin", "auto"
ENGINES = (AUTO, PROGRAM, BUILT_IN)


class VPCSDriver(ProcessDriver):
    """The driver of VPCS (sections 7 and 11 of docs/api.md): the program, or the built-in PC in its place.

    The property ``engine`` says which; "auto" is what the plugin's setting of that name says, and "auto" there is the
    built-in one.
    """

    kind = "vpcs"
    properties: ClassVar[Mapping[str, Schema]] = {
        "startup_script": {"type": ["string", "null"], "x-saved-by": "save"},
        "engine": {"type": "string", "enum": [*ENGINES], "default": AUTO},
    }
    readonly: ClassVar[Mapping[str, Schema]] = {
        **ProcessDriver.readonly,
        "startup_script_path": {"type": ["string", "null"]},
    }
    nios: ClassVar[Mapping[str, Schema]] = {"nio_udp": NIO_UDP, "nio_tap": NIO_TAP}
    leave_on = b"NOT daemon mode"
    prompt = rb"(?:^|[\r\n])[^\r\n\s]+> "
    longest_line = 142  # one more and VPCS 0.5 to 0.8.2 end
    sigpipe = False  # or a connection that `rlogin` cannot have ends it
    timer_slack = 0.005  # it looks for work every 0.1 ms: a hundred of them would fill several processors

    def __init__(self, lab: Lab, config: Mapping[str, Any], store: Store) -> None:
        super().__init__(lab)
        self._store = store
        self._config = config
        self._programs = Programs()
        self._program: Program
        self._relays = Relays(lab)
        self._mac_ids = MacIds(first_id(lab.settings.projects_path))
        self._launches = Launches(LAUNCHES_AT_ONCE, self._relays.rank)
        self._built_in = BuiltIn()

    def _is_built_in(self, settings: Mapping[str, Any]) -> bool:
        engine = settings.get("engine", AUTO)
        chosen: str = self._config["engine"] if engine == AUTO else engine
        return chosen != PROGRAM

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        fresh = "mac_id" not in vm.data
        if fresh:
            vm.data["mac_id"] = self._mac_ids.lease(vm.project_id, own=self._is_built_in(changes))
        name = changes.get("name", vm.name)
        try:
            if fresh:
                await self._keep_mac_id(vm)
            if "startup_script" in changes and (vm.settings or changes["startup_script"] is not None):
                await asyncio.to_thread(script.write, vm.dir, changes["startup_script"], name, self._most)
            elif name != vm.name:
                await asyncio.to_thread(script.rename, vm.dir, vm.name, name, self._most)
        except BaseException:
            if fresh:
                self._mac_ids.release(vm.project_id, vm.data.pop("mac_id"))
            raise

    async def restore(self, vm: VM, settings: Mapping[str, Any]) -> None:
        """The script stays as it is in its file, which its console may have written since."""
        store = self._store.of(vm.project_id)
        earlier = next((_mac_id_in(key) for key in store.of_vm(vm.id)), None)
        shared = not self.lab.started
        vm.data["mac_id"] = mac_id = self._mac_ids.again(vm.project_id, earlier, _kept(store), shared=shared)
        if mac_id != earlier:
            if earlier is not None:
                await store.put(f"{MAC_ID}{earlier}", None)
            await self._keep_mac_id(vm)

    async def _keep_mac_id(self, vm: VM) -> None:
        await self._store.of(vm.project_id).add(f"{MAC_ID}{vm.data['mac_id']}", vm.id, vm_id=vm.id)

    async def removed(self, vm: VM) -> None:
        self._mac_ids.release(vm.project_id, vm.data.pop("mac_id"))

    async def link(self, vm: VM, nio: Mapping[str, Any]) -> None:
        if nio["type"] == "nio_tap":
            _check_device(nio["tap_device"])

    async def show(self, vm: VM) -> Mapping[str, Any]:
        there = script.exists(vm.dir)
        return {
            **await super().show(vm),
            "startup_script": await asyncio.to_thread(script.read, vm.dir, self._most) if there else None,
            "startup_script_path": script.NAME if there else None,
        }

    async def check(self) -> None:
        if not self._is_built_in({}):
            self._program = await self._programs.find(self._config["program"])

    async def prepare(self, vm: VM) -> None:
        nio = vm.nios.get(PORT)
        if nio is None:
            raise Conflict(f"{vm} is not linked to anything; POST an NIO to its adapters/0/ports/0/nio first.")
        text = await asyncio.to_thread(script.make_ready, vm.dir, self._most) if script.exists(vm.dir) else None
        vm.data["is_built_in"] = self._is_built_in(vm.settings)
        if vm.data["is_built_in"]:
            vm.data["command_line"] = await self._built_in.command_line(vm, nio)
        else:
            await self._prepare_program(vm, nio, text)

    async def _prepare_program(self, vm: VM, nio: Mapping[str, Any], text: str | None) -> None:
        program = self._program = await self._programs.find(self._config["program"])
        if vm.data["mac_id"] > MAC_IDS:
            raise Conflict(
                f"{vm} has a MAC address that only the built-in engine can give it; make it anew with the engine "
                f"{PROGRAM!r}, in a project with fewer than {MAC_IDS} of them."
            )
        if program.runs_commands and not self.is_confined and "!" in (text or ""):
            raise Conflict(
                f"The startup script of {vm} has a '!', which VPCS {program.version} would run as a command here, for "
                "it is not confined: this kernel has no Landlock, or the setting 'sandbox' is off. Remove the '!' or "
                "install VPCS 0.8.2 or later."
            )
        arguments = [str(program.path), "-m", str(vm.data["mac_id"]), "-i", "1"]
        if program.has_relay_switch:
            arguments.append("-R")
        if nio["type"] == "nio_udp":
            rhost = await resolve_rhost(nio["rhost"])
            arguments += ["-s", str(nio["lport"]), "-c", str(nio["rport"]), "-t", rhost]
        else:
            arguments += ["-e", "-d", nio["tap_device"]]
        vm.data["lport"] = nio.get("lport")
        vm.data["command"] = arguments if text is None else [*arguments, script.NAME]
        vm.data["has_relay"] = not program.has_relay_switch

    def needs(self, vm: VM) -> Needs:
        if vm.data["lport"] is not None:  # it is linked by UDP
            return Needs()
        return Needs(writes=(TUN,), capabilities=("CAP_NET_ADMIN",))

    def command(self, vm: VM) -> Sequence[str]:
        command: Sequence[str] = vm.data["command"]
        return command

    async def bring_up(self, vm: VM) -> None:
        while True:
            try:
                return await super().bring_up(vm)
            except Overtaken:
                continue

    async def recover(self, vm: VM) -> None:
        if vm.session is None:
            await recover_in_engine(vm)

    async def stop(self, vm: VM) -> None:
        await super().stop(vm)
        if (relay := vm.data.pop("relay", None)) is not None:
            self._relays.finish(relay)

    async def launch(self, vm: VM, session: Session) -> None:
        if vm.data["is_built_in"]:
            await self._built_in.launch(vm, session, vm.nios[PORT])
            vm.command_line = vm.data["command_line"]
        else:
            await self._launch_program(vm, session)

    async def _launch_program(self, vm: VM, session: Session) -> None:
        lport: int | None = vm.data["lport"]
        async with self._launches.slot(lport), self._relays.binding(lport) as binding:
            relay = await self._relays.expect(lport) if vm.data["has_relay"] else None
            try:
                await super().launch(vm, session)
                await self._until_up(vm, session, lport, binding)
            except BaseException:
                if relay is not None:
                    self._relays.finish(relay)
                raise
            vm.data["relay"] = relay
            if relay is not None and session.process is not None:
                self.lab.background(self._relays.watch(relay, session.process.pid))

    def typed(self, data: bytes) -> bytes:
        return data if self.is_confined else data.replace(b"!", b"")

    @property
    def _most(self) -> int:
        """The longest startup script, in bytes."""
        most: int = self._config["script_max_bytes"]
        return most

    async def _until_up(self, vm: VM, session: Session, lport: int | None, binding: Binding) -> None:
        """Wait until the program itself has its end of the link open (S-3). Raises Conflict when it cannot."""
        assert session.process is not None  # noqa: S101 - launched
        pid = session.process.pid
        deadline = time.monotonic() + UP_WITHIN
        pause = 0.001
        while session.alive:
            try:
                if has_udp_port(pid, lport) if lport is not None else str(TUN) in open_files(pid):
                    return
            except OSError:
                break
            failed = b" error [" in session.last_words
            if binding.overtaken or (failed and lport is not None and self.lab.udp.is_free_on_host(lport)):
                raise Overtaken(f"The UDP port {lport} could not be bound in time.")
            if failed or time.monotonic() > deadline:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, 0.02)
        what = f"UDP port {lport}" if lport is not None else f"tap device {vm.nios[PORT]['tap_device']}"
        raise Conflict(f"{vm} could not open its {what}: {session.last_line or 'it ended'}. The VM is stopped again.")


def _kept(store: Store) -> Iterator[int]:
    """The MAC ids of all VPCS of a project; none is looked up before it is asked for."""
    yield from (_mac_id_in(key) for key, _ in store.items())


def _mac_id_in(key: str) -> int:
    """The number in a key of the store."""
    return int(key.removeprefix(MAC_ID))


def _check_device(name: str) -> None:
    """Raise BadRequest unless `name` can be that of a network interface (N-7)."""
    if len(name.encode()) > 15 or name in (".", "..") or any(c in "/:%" or c.isspace() or ord(c) < 33 for c in name):
        raise BadRequest(
            f"'tap_device' {name[:40]!r} is no interface name: at most 15 bytes without '/', ':', '%' or spaces."
        )
