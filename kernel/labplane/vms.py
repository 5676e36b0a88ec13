"""A VM, its lock and its life; the table of all VMs of a lab."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from labplane.errors import NotFound
from labplane.links import NIO, Port

if TYPE_CHECKING:
    from labplane.drivers import Driver
    from labplane.lab import Lab
    from labplane.sessions import Session

STOPPED = "stopped"
STARTED = "started"
SUSPENDED = "suspended"

Result = TypeVar("Result")


class VM:
    """One emulated machine.

    id:       its UUID, in lower case.
    name:     what its owner calls it.
    project_id: of the project that it is in.
    driver:   the `Driver` that runs it.
    dir:      its working directory, below the project's; exists from creation on.
    settings: the driver's own settings, by name.
    console:  its TCP port, None for a kind without consoles.
    nios:     what is plugged in, by (adapter, port).
    status:   "stopped", "started" or "suspended".
    data:     for the driver's own notes; the kernel never looks.
    session:  the program that it runs or last ran, when its driver is a ProcessDriver.
    lock:     held by whatever request or project operation works on the VM; it is fair (L-1).
    """

    def __init__(self, lab: "Lab", driver: "Driver", project_id: str, vm_id: str, name: str) -> None:
        self.lab = lab
        self.driver = driver
        self.project_id = project_id
        self.id = vm_id
        self.name = name
        self.dir = lab.vm_dir(project_id, driver.kind, vm_id)
        self.console: int | None = None
        self.settings: dict[str, Any] = {}
        self.nios: dict[Port, NIO] = {}
        self.status = STOPPED
        self.data: dict[str, Any] = {}
        self.session: Session | None = None
        self.command_line = ""
        self.lock = asyncio.Lock()
        self.listed = False
        self.gone = False

    def __str__(self) -> str:
        return f"{self.driver.kind} {self.name!r} ({self.id})"

    async def supervised(self, operation: Coroutine[Any, Any, Result]) -> Result:
        """What `operation`, the call of a method of the driver with this VM, returns. Raises LabError only."""
        what = f"{getattr(operation, '__name__', 'work')} of {self}"
        return await self.lab.supervisor.call(self.lab.owners[self.driver.kind], what, operation)

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What a plain method of the driver returns. Raises LabError only."""
        what = f"{function.__name__} of {self}"
        return self.lab.supervisor.run(self.lab.owners[self.driver.kind], what, function, *arguments)

    def require_kind(self, driver: "Driver") -> None:
        """Raise NotFound unless it is `driver` that runs this VM."""
        if self.driver is not driver:
            raise NotFound(f"There is no {driver.kind} VM {self.id}; it is of kind {self.driver.kind}.")

    def ended(self, session: "Session") -> None:
        """To be told by the driver's program when it ends, for whatever reason (S-7)."""
        if session is self.session:
            self.status = STOPPED
            self.lab.background(session.finish())


class VMs:
    """Every VM of a lab, by id and by project. Iterating gives those of all projects."""

    def __init__(self) -> None:
        self._by_id: dict[str, VM] = {}
        self._by_project: dict[str, dict[str, VM]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[VM]:
        return iter(list(self._by_id.values()))

    def get(self, vm_id: str) -> VM | None:
        """The VM of that id, which may still be in the making."""
        return self._by_id.get(vm_id)

    def of(self, project_id: str) -> list[VM]:
        """The project's VMs, those in the making included, oldest first."""
        return list(self._by_project.get(project_id, {}).values())

    def add(self, vm: VM) -> None:
        self._by_id[vm.id] = vm
        self._by_project.setdefault(vm.project_id, {})[vm.id] = vm

    def discard(self, vm: VM) -> None:
        del self._by_id[vm.id]
        siblings = self._by_project[vm.project_id]
        del siblings[vm.id]
        if not siblings:
            del self._by_project[vm.project_id]
