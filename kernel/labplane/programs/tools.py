"""Helpers of drivers that run for a moment, such as qemu-img: confined, bounded, ended with their request."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from resource import RLIMIT_AS, RLIMIT_FSIZE
from typing import TYPE_CHECKING, Protocol

from labplane.emulators.confinement import Needs
from labplane.errors import Busy, Conflict, StorageFull, Unavailable, answer_to

if TYPE_CHECKING:
    from labplane.machines.lab import Lab

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
