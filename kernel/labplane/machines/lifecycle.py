"""The operations on a VM: create, update, start, stop, link, remove. Each is all or nothing, under the VM's lock."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from labplane.errors import Conflict, LabError, NotFound
from labplane.machines import capturing, records
from labplane.machines.changes import check_change, given_settings, stored
from labplane.machines.console_port import moved_console, reserve_console
from labplane.machines.deleted_dirs import DeletedDirs, remove_tree
from labplane.machines.driver import ConsoleDriver
from labplane.machines.images import check_start
from labplane.machines.leases import lease_consoles, release_ports
from labplane.machines.udp_ends import claim_lport, hand_over, take_back, takes_rport
from labplane.machines.vm import STARTED, STOPPED, SUSPENDED, VM, Phase
from labplane.net.nios import NIO, Port, check_port, check_type, lean
from labplane.net.rhost import resolve_rhost
from labplane.state.store import together
from labplane.supervision import GRACE_SECONDS

if TYPE_CHECKING:
    from labplane.machines.kind import Kind
    from labplane.machines.lab import Lab

log = logging.getLogger("labplane")


async def create(
    lab: "Lab",
    kind: "Kind",
    deleted: DeletedDirs,
    project_id: str,
    body: Mapping[str, Any],
    show: Callable[[VM], Awaitable[Any]],
) -> Any:
    """Create a VM, or find the one of that id in the project (M-6); returns `show` of it, awaited with its lock held.

    Nothing remains of a VM that cannot be made (M-5).
    """
    given = body.get("vm_id")
    vm_id = given.lower() if isinstance(given, str) else str(uuid4())
    # After each wait everything may be different: look again until there is nothing to wait for.
    while True:
        if (known := lab.vms.get(vm_id)) is not None:
            if known.project_id != project_id or known.driver is not kind.driver:
                raise Conflict(f"The vm_id {vm_id} belongs to {known} of project {known.project_id}.")
            async with known.lock:
                if not known.gone:
                    return await show(known)
        elif (obstacle := deleted.removal(project_id, vm_id) or lab.vms_are_held(project_id)) is not None:
            await obstacle
        else:
            break
    if lab.is_closing(project_id):
        raise NotFound(f"The project {project_id} is being closed.")
    if lab.vms.count(project_id) >= lab.settings.max_vms:
        raise Conflict(
            f"The project has {lab.settings.max_vms} VMs, which is all that the settings allow; delete one first."
        )
    vm = VM(lab, kind, project_id, vm_id, body["name"])
    async with vm.lock:  # which nothing else knows yet, so this waits for nothing
        lab.vms.add(vm)
        was_deleted = deleted.forget(vm)
        try:
            with vm.deed("create"):
                shown = await _make(vm, body, show)
        except BaseException:
            lab.vms.discard(vm)
            if was_deleted:
                deleted.add(vm)
            raise
        vm.phase = Phase.READY
        vm.announce("vm.created")
        return shown


async def _make(vm: VM, body: Mapping[str, Any], show: Callable[[VM], Awaitable[Any]]) -> Any:
    """Give `vm` its console, directory and settings; returns `show` of it. All is given back when anything fails."""
    lab, driver = vm.lab, vm.driver
    async with AsyncExitStack() as undo:
        undo.callback(release_ports, vm)
        if driver.console:
            console = body.get("console")
            if console is None:
                vm.console = lab.consoles.lease(vm)
            else:
                reserve_console(vm, console)
                vm.console = console
        lease_consoles(vm)
        if not _make_directory(vm):
            undo.push_async_callback(_discard_directory, vm)
        given = given_settings(vm, body)
        with together() as values:
            await vm.supervised(driver.configure(vm, given))
        vm.settings = {name: schema.get("default") for name, schema in driver.properties.items()} | stored(vm, given)
        undo.push_async_callback(attempt, vm, driver.removed)
        shown = await show(vm)
        await lab.state.write([*records.insert(vm, is_known="vm_id" in body), *values.statements])
        values.written()
        undo.pop_all()
        return shown


async def _discard_directory(vm: VM) -> None:
    """Remove the directory of `vm`, which is not made; one that cannot be removed is logged."""
    try:
        await asyncio.to_thread(remove_tree, vm.dir)
    except OSError as error:
        log.warning("%s is not made, but its directory %s stays: %s", vm, vm.dir, error.strerror)


def _make_directory(vm: VM) -> bool:
    """Make the directory of `vm`; True when it was there before."""
    directory = vm.dir
    try:
        directory.mkdir()
    except FileExistsError:
        if not directory.is_dir():
            raise
        return True
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
    return False


async def update(vm: VM, body: Mapping[str, Any]) -> None:
    """Change name, console and the driver's settings, all or nothing (M-10); null leaves name and console alone."""
    changes = given_settings(vm, body)
    if changes:
        check_change(vm, changes)
    if body.get("name") not in (None, vm.name):
        changes["name"] = body["name"]
    before = (vm.name, vm.console, dict(vm.settings))
    after = {"name": changes.get("name", vm.name), "settings": vm.settings | stored(vm, changes)}
    old, new = vm.console, body.get("console")
    if old is None or new is None or new == old:
        async with records.changed(vm, **after):
            await vm.supervised(vm.driver.configure(vm, changes))
    else:
        async with moved_console(vm, old, new), records.changed(vm, **after, console=new):
            await vm.supervised(vm.driver.configure(vm, changes))
    vm.name = after["name"]
    vm.settings.update(after["settings"])
    if (vm.name, vm.console, vm.settings) != before:
        vm.announce("vm.updated")


async def start(vm: VM) -> None:
    """Start `vm`; one that runs already is left alone (S-1)."""
    if vm.status == STARTED:
        return
    if vm.status == SUSPENDED:
        raise Conflict(f"{vm} is suspended; resume it or stop it first.")
    vm.ready = False
    try:
        with vm.deed("start"):
            await check_start(vm)
            await make_way(vm)
            await vm.supervised(vm.driver.start(vm))
    except BaseException:
        if vm.session is not None and vm.session.alive:
            await vm.session.close()
        take_back(vm)
        vm.announce("vm.stopped")
        raise
    _started(vm)


async def make_way(vm: VM) -> None:
    """Let go of the ports that the driver of `vm` is about to bind itself."""
    if not isinstance(vm.driver, ConsoleDriver) and (console := vm.console) is not None:
        vm.lab.consoles.lend(console)
    if not vm.driver.hands_over:
        await hand_over(vm)


async def stop(vm: VM) -> None:
    """Stop `vm`, if it runs (S-5)."""
    if vm.status != STOPPED:
        with _ending(vm), vm.deed("stop"):
            await _ended_in_time(vm, vm.driver.stop(vm))
            take_back(vm)
            vm.status = STOPPED


async def reload(vm: VM) -> None:
    """Stop and start `vm` with the driver's own `reload` (S-6). The events are those of a stop and a start."""
    ran = vm.status != STOPPED
    try:
        with _ending(vm), vm.deed("reload"):
            await check_start(vm)
            if not ran:
                await make_way(vm)
            vm.ready = False
            await _ended_in_time(vm, vm.driver.reload(vm))  # type: ignore[attr-defined]  # a route only when it is defined
            vm.status = STOPPED
    except BaseException:
        if not ran:
            take_back(vm)
            vm.announce("vm.stopped")
        raise
    _started(vm)


async def suspend(vm: VM) -> None:
    """Suspend `vm` with the driver's own `suspend`, unless it is suspended already."""
    if vm.status == STOPPED:
        raise Conflict(f"{vm} does not run; start it first.")
    if vm.status == STARTED:
        with vm.deed("suspend"):
            await vm.supervised(vm.driver.suspend(vm))  # type: ignore[attr-defined]
        vm.status = SUSPENDED


async def resume(vm: VM) -> None:
    """Resume `vm` with the driver's own `resume`, unless it runs already."""
    if vm.status == STOPPED:
        raise Conflict(f"{vm} does not run; start it first.")
    if vm.status == SUSPENDED:
        with vm.deed("resume"):
            await vm.supervised(vm.driver.resume(vm))  # type: ignore[attr-defined]
        vm.status = STARTED


async def _ended_in_time(vm: VM, operation: Coroutine[Any, Any, None]) -> None:
    """Await what ends `vm`, which may take as long as it is left for a graceful end."""
    await vm.supervised(operation, at_least=vm.patience + GRACE_SECONDS)


def _started(vm: VM) -> None:
    """Take note that `vm` was started; its machine may have ended again by now."""
    if vm.session is None or vm.session.alive:
        vm.status = STARTED
    else:
        vm.announce("vm.stopped")


@contextmanager
def _ending(vm: VM) -> Iterator[None]:
    """Mark that the machine of `vm` is ended on request: when it ends now, it did not end by itself."""
    before, vm.phase = vm.phase, Phase.ENDING
    try:
        yield
    finally:
        vm.phase = before


async def plug(vm: VM, port: Port, nio: NIO) -> None:
    """Plug `nio` into `port`, in place of an earlier one (N-1 to N-5)."""
    driver, udp = vm.driver, vm.lab.udp
    check_type(nio, driver.kind, driver.nios)
    check_port(port, vm.adapters(), str(vm))
    address = await resolve_rhost(nio["rhost"]) if "rhost" in nio else ""
    await vm.supervised(driver.link(vm, nio))
    old = vm.nios.get(port)
    if nio == old:
        return
    lport: int | None = nio.get("lport")
    old_lport: int | None = old.get("lport") if old else None
    fresh = lport is not None and lport != old_lport
    if fresh:
        claim_lport(vm, nio, address)
    rport = nio["rport"] if lport is not None and takes_rport(vm, nio, address) else None
    also = [] if rport is None else [records.adopted(vm, rport)]
    try:
        async with records.changed(vm, *also, nios={**vm.nios, port: nio}):
            if vm.status != STOPPED and hasattr(driver, "connect"):
                if lport is not None and fresh:
                    await hand_over(vm, lport)
                await vm.supervised(driver.connect(vm, port, nio))
    except BaseException:
        if lport is not None and fresh:
            udp.release(lport, vm)
        raise
    vm.nios[port] = lean(nio)
    if rport is not None and rport in udp and udp.owner(rport) is None:
        udp.claim(rport, vm.lab.project_owner(vm.project_id))
    if old_lport is not None and old_lport != lport:
        udp.release(old_lport, vm)
    vm.announce_link("link.plugged", port, nio)


async def unplug(vm: VM, port: Port) -> None:
    """Unplug the NIO of `port`, if there is one (N-6)."""
    old = vm.nios.get(port)
    if old is None:
        check_port(port, vm.adapters(), str(vm))
        return
    async with records.changed(vm, nios={key: nio for key, nio in vm.nios.items() if key != port}):
        await capturing.end(vm, port)
        if vm.status != STOPPED and hasattr(vm.driver, "disconnect"):
            await vm.supervised(vm.driver.disconnect(vm, port))
    del vm.nios[port]
    if "lport" in old:
        vm.lab.udp.release(old["lport"], vm)
    vm.announce_link("link.unplugged", port, old)


async def delete(vm: VM, deleted: DeletedDirs) -> None:
    """Remove `vm` for good (M-12). Raises LabError, with nothing changed, when that cannot be kept."""
    await vm.lab.state.write(records.delete(vm))
    await remove(vm)
    vm.lab.values.drop(vm.project_id, vm.id)
    deleted.add(vm)  # only now: a commit must not take the directory of a VM that is still being stopped


async def remove(vm: VM, action: str = "delete") -> None:
    """Stop and forget `vm`, and take back its ports and console even if its driver fails (M-12).

    action: its name in the log.
    """
    with vm.deed(action):
        await _remove(vm)


async def _remove(vm: VM) -> None:
    lab, driver = vm.lab, vm.driver
    with _ending(vm):
        if vm.status != STOPPED:
            await attempt(vm, driver.stop, at_least=vm.patience + GRACE_SECONDS)
        if vm.session is not None:
            await vm.session.close()
        vm.status = STOPPED
    told = vm.listed and lab.events.wanted(vm.project_id)
    last = await vm.last_object() if told else None
    await attempt(vm, driver.removed)
    lab.vms.discard(vm)
    release_ports(vm)
    take_back(vm)
    if last is not None:
        lab.events.emit("vm.deleted", last, vm.project_id)


async def attempt(vm: VM, method: Callable[[VM], Coroutine[Any, Any, None]], *, at_least: float = 0.0) -> None:
    """Call a method of the driver whose failure must not stop the removal of `vm`; a failure is logged."""
    try:
        await vm.supervised(method(vm), at_least=at_least)
    except LabError as error:
        log.error("%s: its driver's %s failed while it was removed: %s", vm, method.__name__, error)
