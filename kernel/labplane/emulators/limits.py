"""What the programs of a VM may use together, and what of that this server can see to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from labplane_keeper.groups import LIMITS

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What all programs of a VM may use together, those that they start included; None stands for no limit.

    memory:     bytes that they have in use, with the part of the page cache that is theirs. What needs more than that
                ends: all of them are killed.
    processors: whose time they get, as 0.5 or 2.
    processes:  processes and threads. To start one more fails with EAGAIN.
    """

    memory: int | None = None
    processors: float | None = None
    processes: int | None = None

    def within(self, other: "Limits") -> "Limits":
        """The stricter of both, one by one."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in LIMITS)
        return Limits(*(min((one for one in pair if one is not None), default=None) for pair in pairs))

    def group(self, name: str) -> Mapping[str, Any]:
        """The group of that name with these limits, for `Terminals.spawn`."""
        return {"name": name, **asdict(self)}


@dataclass(frozen=True)
class Limiting:
    """What the keeper can limit.

    controllers: those of cgroups that it has; reason: the one for which it has none.
    """

    controllers: tuple[str, ...] = ()
    reason: str = ""

    def lacking(self, wanted: Limits) -> str | None:
        """A phrase that names what of `wanted` cannot be limited, and why; None when all of it can."""
        lacks = [
            f"{name} ({_shown(name, getattr(wanted, name))})"
            for name, controller in LIMITS.items()
            if getattr(wanted, name) is not None and controller not in self.controllers
        ]
        if not lacks:
            return None
        why = self.reason or f"of cgroups there are {', '.join(self.controllers) or 'none'} only"
        return f"no limit of {', '.join(lacks)}: {why}"


def _shown(name: str, value: float) -> str:
    return f"{value / MIB:g} MiB" if name == "memory" else f"{value:g}"


def out_of_memory(limit: int | None) -> str:
    """A sentence, after a space, on what was ended at this limit in bytes, 0 for the system's; empty for None."""
    if limit is None:
        return ""
    memory = f"the memory of {limit / MIB:g} MiB that it may use" if limit else "the memory of the system"
    return f" It was ended: out of {memory}."
