"""A lab whose drivers fail on demand, for tests of what is left then."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar

from labplane import (
    VM,
    Driver,
    Lab,
    ProcessDriver,
    Schema,
)
from labplane.kernel import Kernel
from labplane.machines import lifecycle

PROJECT = "00000000-0000-0000-0000-000000000001"

VM_ID = "00000000-0000-0000-0000-00000000000a"


class Fragile(Driver):
    """Fails at the steps named in `fails`, and writes down which it went through."""

    kind = "fragile"
    properties: ClassVar[Mapping[str, Schema]] = {"size": {"type": "integer", "default": 1}}

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.fails: dict[str, BaseException] = {}
        self.steps: list[str] = []

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name in self.fails:
            raise self.fails[name]

    def adapters(self, vm: VM) -> Sequence[int]:
        return (1, 2)

    async def check(self) -> None:
        self.step("check")

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        self.step("configure")

    async def link(self, vm: VM, nio: Mapping[str, Any]) -> None:
        self.step("link")

    async def start(self, vm: VM) -> None:
        self.step("start")

    async def stop(self, vm: VM) -> None:
        self.step("stop")

    async def suspend(self, vm: VM) -> None:
        self.step("suspend")

    async def resume(self, vm: VM) -> None:
        self.step("resume")

    async def reload(self, vm: VM) -> None:
        self.step("reload")

    async def connect(self, vm: VM, port: tuple[int, int], nio: Mapping[str, Any]) -> None:
        self.step("connect")

    async def disconnect(self, vm: VM, port: tuple[int, int]) -> None:
        self.step("disconnect")

    async def removed(self, vm: VM) -> None:
        self.step("removed")


class Cat(ProcessDriver):
    """A real process with a real console."""

    kind = "cat"

    async def configure(self, vm: VM, changes: Mapping[str, Any]) -> None:
        if "name" in changes and vm.data.get("fails"):
            raise vm.data["fails"]

    def command(self, vm: VM) -> Sequence[str]:
        return vm.data.get("command", ["/bin/cat"])  # type: ignore[no-any-return]


class Bench:
    """A lab with an open project, and a VM of it on request."""

    def __init__(self, lab: Kernel) -> None:
        self.lab = lab
        fragile = lab.drivers["fragile"]
        assert isinstance(fragile, Fragile)
        self.fragile = fragile

    async def create(self, kind: str = "fragile", **body: Any) -> VM:
        vms: list[VM] = []

        async def show(vm: VM) -> None:
            vms.append(vm)

        await self.make(kind, {"name": "A", **body}, show)
        return vms[0]

    async def make(self, kind: str, body: dict[str, Any], show: Callable[[VM], Any], project_id: str = PROJECT) -> Any:
        return await lifecycle.create(self.lab, self.lab.kinds[kind], self.lab._deleted, project_id, body, show)

    def leases(self) -> tuple[dict[int, Any], dict[int, Any]]:
        return dict(self.lab.consoles._owners), dict(self.lab.udp._owners)


Test = Callable[[Bench], Coroutine[Any, Any, None]]
