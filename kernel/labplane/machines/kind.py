"""A kind of VM as the lab has taken it in: its driver, called under supervision."""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from labplane.machines.driver import Driver, chooses_console
from labplane.machines.ports import VMPort
from labplane.reports import Report
from labplane.supervision import Supervisor

if TYPE_CHECKING:
    from labplane.machines.vm import VM

Result = TypeVar("Result")


class Kind:
    """A driver with the plugin that brought it, to which its faults are put down.

    driver: the `Driver`.
    owner:  the report of that plugin.
    chooses_console: whether it says what the consoles of its VMs are.
    """

    def __init__(self, driver: "Driver", owner: Report, supervisor: Supervisor) -> None:
        self.driver = driver
        self.owner = owner
        self._supervisor = supervisor
        self.chooses_console = chooses_console(driver)
        self._is_told_settings = _takes_two(driver.adapters)

    async def call(
        self, operation: Coroutine[Any, Any, Result], vm: object, project_id: str, *, at_least: float = 0.0
    ) -> Result:
        """The result of `operation`, a coroutine of the driver for `vm`. Raises LabError only.

        at_least: seconds that it may take in any case.
        """
        what = f"{getattr(operation, '__name__', 'work')} of {vm}"
        return await self._supervisor.call(self.owner, what, operation, project_id=project_id, at_least=at_least)

    def run(self, function: Callable[..., Result], *arguments: Any, vm: object, project_id: str) -> Result:
        """The result of `function`, a plain method of the driver for `vm`. Raises LabError only."""
        what = f"{function.__name__} of {vm}"
        return self._supervisor.run(self.owner, what, function, *arguments, project_id=project_id)

    def adapters(self, vm: "VM", settings: Mapping[str, Any]) -> tuple[int, ...]:
        """The number of ports of each adapter that `vm` has, or would have, with these settings. Raises LabError only.

        A driver whose `adapters` takes the VM alone finds these settings there meanwhile.
        """
        if self._is_told_settings:
            return tuple(self.run(self.driver.adapters, vm, settings, vm=vm, project_id=vm.project_id))
        kept, vm.settings = vm.settings, dict(settings)
        try:
            return tuple(self.run(self.driver.adapters, vm, vm=vm, project_id=vm.project_id))
        finally:
            vm.settings = kept

    def ports(self, vm: "VM") -> tuple[VMPort, ...]:
        """The ports of `vm`. Raises LabError only."""
        return tuple(self.run(self.driver.ports, vm, vm=vm, project_id=vm.project_id))


def _takes_two(method: Callable[..., Any]) -> bool:
    """Whether `method` can be called with two arguments."""
    try:
        inspect.signature(method).bind(None, None)
    except TypeError:
        return False
    return True
