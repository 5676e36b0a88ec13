"""A labplane plugin: VMs of the kind "echo", which greet and repeat what is typed, and a route that counts them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from labplane import VM, Driver, Plugin, ProcessDriver, Request, Route, Schema, find_program, hook


class EchoDriver(ProcessDriver):
    kind = "echo"
    properties: ClassVar[Mapping[str, Schema]] = {"greeting": {"type": "string", "maxLength": 80, "default": "Hello"}}

    async def prepare(self, vm: VM) -> None:
        (vm.dir / "greeting").write_text(vm.settings["greeting"] + "\n")

    def command(self, vm: VM) -> Sequence[str]:
        return [str(find_program("cat", "Install coreutils.")), "greeting", "-"]


class Echo(Plugin):
    @hook
    def drivers(self) -> Iterable[Driver]:
        return [EchoDriver(self.lab)]

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return {"EchoCount": {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}}

    @hook
    def routes(self) -> Iterable[Route]:
        return [Route("GET", "/v1/echo", self.count, reply={"$ref": "labplane:EchoCount"}, summary="Count echo VMs")]

    async def count(self, _: Request) -> Any:
        return {"count": sum(vm.driver.kind == "echo" for vm in self.lab.vms)}
