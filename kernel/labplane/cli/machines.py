"""What runs for a data directory, whether a server is there or not: listed and ended, through its keeper."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from labplane.emulators.engine import RUN
from labplane.keeper.starting import keeper_command
from labplane_keeper import visiting

STAYS = 1e6  # seconds without a server after which it ends; its service starts it again
HEAD = ("PID", "SINCE", "KIND", "VM", "PROJECT", "COMMAND")


def listed(directory: Path) -> list[dict[str, Any]]:
    """What runs for that data directory: pid, seconds, kind, vm_id, project_id, command_line. Raises OSError."""
    places = _keepers(directory)
    return [_shown(run) for place in places for run in visiting.runs(place) if run["status"] is None and _is_vm(run)]


def ended(directory: Path) -> list[dict[str, Any]]:
    """End all that was ever started for that data directory, keepers too, and nothing else; what ran, see `listed`."""
    places = reversed(_keepers(directory))  # the keeper, which ends the engine, last
    return [_shown(run) for place in places for run in visiting.end_all(place) if _is_vm(run)]


def keep(directory: Path) -> NoReturn:
    """Become the keeper of that data directory. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = keeper_command(directory, STAYS, bound=False)
    os.execv(command[0], command)  # noqa: S606 - there is no shell to it


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of a table, with its head."""
    cells = [HEAD, *((str(one["pid"]), _age(one["seconds"]), *_words(one)) for one in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD) - 1)]
    for *first, last in cells:
        yield "  ".join([*(word.ljust(width) for word, width in zip(first, widths, strict=True)), last]).rstrip()


def _keepers(directory: Path) -> list[Path]:
    """The directory of the keeper, and those of others that speak its protocol, which have a socket below it."""
    return [directory, *sorted(socket.parent for socket in directory.glob("*/socket"))]


def _is_vm(run: dict[str, Any]) -> bool:
    """Whether a run is that of a VM, and not the engine, whose own runs they are."""
    return bool(run["id"] != RUN)


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    note = run["note"] if isinstance(run["note"], dict) else {}
    since = run["started"] / os.sysconf("SC_CLK_TCK")
    return {
        "pid": run["pid"],
        "seconds": round(max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - since), 1),
        "vm_id": run["id"],
        **{name: note.get(name, "") for name in ("kind", "project_id", "command_line")},
    }


def _words(one: dict[str, Any]) -> list[str]:
    return [one[name] or "-" for name in ("kind", "vm_id", "project_id", "command_line")]


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"
