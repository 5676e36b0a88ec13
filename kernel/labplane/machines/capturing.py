"""Captures: what goes through a port of a VM, written to a file of the project as its driver sees it."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from labplane.emulators.users import give
from labplane.errors import Conflict
from labplane.net.nios import Port, check_port

if TYPE_CHECKING:
    from labplane.machines.driver import Driver
    from labplane.machines.vm import VM


def can_capture(driver: "Driver") -> bool:
    """Whether VMs of this driver can capture: it defines ``capture`` and ``end_capture``."""
    return hasattr(driver, "capture") and hasattr(driver, "end_capture")


async def start(vm: "VM", port: Port, name: str) -> Path:
    """Capture what goes through `port` to a new file called `name`, in place of an earlier one; its path.

    Raises LabError, and then nothing is left.
    """
    check_port(port, vm.adapters(), str(vm))
    where = f"Port {port[1]} of adapter {port[0]} of {vm}"
    if vm.status == "stopped":
        raise Conflict(f"{vm} does not run; start it first.")
    if port not in vm.nios:
        raise Conflict(f"{where} is not linked to anything, so there is nothing to capture; plug a link into it first.")
    if port in vm.captures:
        raise Conflict(f"{where} is being captured to {vm.captures[port]} already; end that first.")
    path = vm.captures_dir / name
    if path in vm.captures.values():
        raise Conflict(f"Another port of {vm} is being captured to {path}; choose another name.")
    await asyncio.to_thread(_make, path)
    if vm.lab.user is not None:
        await asyncio.to_thread(give, vm.captures_dir, vm.lab.user)
    try:
        await vm.supervised(vm.driver.capture(vm, port, path))  # type: ignore[attr-defined]  # a route only then
    except BaseException:
        with suppress(OSError):
            await asyncio.to_thread(path.unlink)
        raise
    vm.captures[port] = path
    vm.announce("vm.updated")
    return path


async def end(vm: "VM", port: Port) -> None:
    """End the capture at `port`, if there is one; its file stays."""
    if port not in vm.captures:
        return
    await vm.supervised(vm.driver.end_capture(vm, port))  # type: ignore[attr-defined]
    vm.captures.pop(port, None)
    vm.announce("vm.updated")


def _make(path: Path) -> None:
    """Make an empty file at `path`, and nothing that is there is followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
