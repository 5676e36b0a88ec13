"""A kind of VM as the lab has taken it in: its driver, called under supervision."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from labplane.reports import Report
from labplane.supervision import Supervisor

if TYPE_CHECKING:
    from labplane.machines.driver import Driver

Result = TypeVar("Result")


class Kind:
    """A driver with the plugin that brought it, to which its faults are put down.

    driver: the `Driver`.
    owner:  the report of that plugin.
    """

    def __init__(self, driver: "Driver", owner: Report, supervisor: Supervisor) -> None:
        self.driver = driver
        self.owner = owner
        self._supervisor = supervisor

    async def call(self, operation: Coroutine[Any, Any, Result], vm: object, project_id: str) -> Result:
        """The result of `operation`, a coroutine of the driver for `vm`. Raises LabError only."""
        what = f"{getattr(operation, '__name__', 'work')} of {vm}"
        return await self._supervisor.call(self.owner, what, operation, project_id=project_id)

    def run(self, function: Callable[..., Result], *arguments: Any, vm: object, project_id: str) -> Result:
        """The result of `function`, a plain method of the driver for `vm`. Raises LabError only."""
        what = f"{function.__name__} of {vm}"
        return self._supervisor.run(self.owner, what, function, *arguments, project_id=project_id)
