"""Helpers of drivers that run for a moment, such as qemu-img: confined, bounded, ended with their request."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from resource import RLIMIT_AS, RLIMIT_FSIZE
from typing import TYPE_CHECKING, Protocol

from labplane.emulators.confinement import Needs
from labplane.emulators.limits import Limiting, Limits
from labplane.errors import Busy, Conflict, StorageFull, Unavailable, answer_to
from labplane_keeper.groups import LIMITS

if TYPE_CHECKING:
    from labplane.machines.lab import Lab

log = logging.getLogger("labplane")

MOST_OUTPUT = 1024 * 1024


class HasDescriptor(Protocol):
    """An open file, socket or pipe."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


def confinement_of(lab: "Lab", needs: Needs) -> Needs | None:
    """What a program that `needs` this is confined to with the settings of `lab`; None when it is not.

    Raises Unavailable when the settings require a confinement that this kernel has not.
    """
    if lab.settings.sandbox == "require" and not lab.terminals.can_confine:
        raise Unavailable("This kernel has no Landlock to confine emulators with, and the settings require it.")
    return None if lab.settings.sandbox == "off" else needs


async def limits_of(lab: "Lab", wanted: Limits) -> tuple[Limits | None, str | None]:
    """What to limit the programs of a VM to, None for no cgroup at all; and a phrase on what cannot be limited.

    wanted: what their driver wants besides the settings. Raises Unavailable when the settings require what cannot be.
    """
    own = lab.settings
    limits = wanted.within(Limits(own.max_vm_resident, own.max_vm_processors, own.max_vm_processes))
    if own.cgroups == "off":
        return None, Limiting(reason="cgroups are off in the settings").lacking(limits)
    limiting = await lab.terminals.limiting()
    if own.cgroups == "require" and limiting.reason:
        raise Unavailable(f"There are no cgroups for programs, and the settings require them: {limiting.reason}.")
    lacking = limiting.lacking(limits)
    if own.cgroups == "require" and lacking is not None:
        raise Unavailable(f"The settings require all limits, and there is {lacking}.")
    return limits, lacking


async def tell_limits(lab: "Lab") -> None:
    """Note in the log, when the server starts, what can be limited. Raises OSError, and Unavailable as `limits_of`."""
    limits, lacking = await limits_of(lab, Limits())
    if lacking is not None:
        log.warning("VMs run with %s", lacking)
    elif limits is not None:
        limiting = await lab.terminals.limiting()
        can = ", ".join(name for name, controller in LIMITS.items() if controller in limiting.controllers)
        log.info("what VMs use can be limited: %s", can or f"nothing, since {limiting.reason}")


async def run_tool(lab: "Lab", command: Sequence[str], cwd: Path, needs: Needs, seconds: float) -> str:
    """Run `command` in the directory `cwd`, where it may write, and wait for its end; what it printed.

    Of more than 1 MiB the rest is dropped. Raises Conflict when it ends with another status than 0 or takes longer than
    `seconds`, Unavailable when it cannot be executed.
    """
    output = bytearray()

    def printed(data: bytes) -> None:
        output.extend(data[: MOST_OUTPUT - len(output)])

    name = Path(command[0]).name
    try:
        process = await lab.terminals.spawn(
            command,
            cwd=cwd,
            on_output=printed,
            on_exit=lambda _: None,
            needs=confinement_of(lab, needs),
            user=lab.user,
            raw=True,
            limits={RLIMIT_AS: lab.settings.max_vm_memory, RLIMIT_FSIZE: lab.settings.max_vm_file},
            note={"command_line": " ".join(command)},
        )
    except OSError as error:
        if isinstance(answer_to(error), Busy | StorageFull):
            raise  # which says what the system lacks
        raise Unavailable(f"{command[0]} cannot be executed: {error.strerror}.") from None
    try:
        async with asyncio.timeout(seconds):
            returncode = await process.wait()
    except TimeoutError:
        raise Conflict(f"{name} did not end within {seconds:g} seconds; it was ended.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    if returncode != 0:
        last = text.strip().rsplit("\n", 1)[-1].strip()
        raise Conflict(f"{name} failed with status {returncode}: {last[:500] or 'it printed nothing'}")
    return text
