"""The commands `console` and `logs`."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import click

from labplane_client import VM, AsyncClient, ClientError, Project
from labplane_labs.commands.common import At, common, complete_node, find_node, find_nodes, run


class Escape:
    """Finds the keys ``~.`` at the beginning of a line, which leave a console, as ssh has them; ``~~`` is one ``~``."""

    def __init__(self) -> None:
        self._begins, self._tilde = True, False

    def typed(self, data: bytes) -> tuple[bytes, bool]:
        """What of `data` is for the console, and whether to leave."""
        passed = bytearray()
        for key in data:
            if self._tilde:
                self._tilde = False
                if key == ord("."):
                    return bytes(passed), True
                if key != ord("~"):
                    passed += b"~"
            elif self._begins and key == ord("~"):
                self._tilde = True
                continue
            passed.append(key)
            self._begins = key in b"\r\n"
        return bytes(passed), False


@click.command()
@click.argument("node", shell_complete=complete_node)
@click.option("--lab", help="The lab of the node, by name or file [default: lab.yaml, or any]")
@common
def console(at: At, node: str, lab: str | None) -> int:
    """Sit at the console of NODE, or LAB/NODE; ~. at the beginning of a line leaves it.

    Exit codes: 0 it was left, 1 it was closed, or never opened.
    """
    with at.client() as client:
        vm = find_node(client, node, lab)
    return run(_sit(at, vm))


async def _sit(at: At, vm: VM) -> int:
    async with at.async_client() as client, client.console(vm) as there, _keys() as keys:
        click.echo(f"{vm.name}: ~. at the beginning of a line leaves\r", err=True)

        async def print_all() -> None:
            while True:
                os.write(sys.stdout.fileno(), await there.receive())

        async def type_all() -> None:
            escape = Escape()
            while data := await keys.get():
                passed, leaves = escape.typed(data)
                if passed:
                    await there.send(passed)
                if leaves:
                    return

        tasks = [asyncio.ensure_future(print_all()), asyncio.ensure_future(type_all())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return 0


@asynccontextmanager
async def _keys() -> AsyncIterator["asyncio.Queue[bytes]"]:
    """What is typed at this terminal, key by key; b"" at its end. The terminal is as before afterwards."""
    keys: asyncio.Queue[bytes] = asyncio.Queue()
    fd, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def read() -> None:
        data = os.read(fd, 4096)
        keys.put_nowait(data)
        if not data:
            loop.remove_reader(fd)

    before = termios.tcgetattr(fd) if os.isatty(fd) else None
    if before is not None:
        tty.setraw(fd)
    try:
        loop.add_reader(fd, read)
        yield keys
    finally:
        loop.remove_reader(fd)
        if before is not None:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


@click.command()
@click.argument("node", required=False, shell_complete=complete_node)
@click.option("--lab", help="The lab, by name or file [default: lab.yaml, or any]")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on, until Ctrl-C")
@common
def logs(at: At, node: str | None, lab: str | None, follow: bool) -> int:
    """Print what NODE, or each node, has printed at its console since its start."""
    with at.client() as client:
        found = [(project, one) for project, one in find_nodes(client, node, lab) if one["console"] is not None]
        if not found:
            raise ClientError(None, f"There is no node {node!r} with a console." if node else "No node has a console.")
        if not follow:
            for project, one in found:
                for line in _log(client, project, one).splitlines():
                    click.echo(line if node else f"{one['name']}: {line}")
            return 0
    try:
        return run(_follow(at, found, named=node is None))
    except KeyboardInterrupt:
        return 0


def _log(client: Any, project: Project, node: Mapping[str, Any]) -> str:
    """The log of a node's console, without what terminals act on."""
    path = f"/v1/projects/{project.project_id}/files/project-files/{node['kind']}/{node['vm_id']}/{node['kind']}.log"
    reply = client.http.get(path)
    if reply.status_code == 404:
        return ""
    if not reply.is_success:
        raise ClientError(reply.status_code, str(reply.json()["message"]))
    return str(reply.content.decode(errors="replace")).replace("\r", "")


async def _follow(at: At, found: list[tuple[Project, Mapping[str, Any]]], *, named: bool) -> int:
    async def one(client: AsyncClient, project: Project, node: Mapping[str, Any]) -> None:
        vm = await client.vm(project, node["kind"], node["vm_id"])
        begun = b""
        try:
            async with client.console(vm) as there:
                while True:
                    *lines, begun = (begun + await there.receive()).split(b"\n")
                    for line in lines:
                        text = line.replace(b"\r", b"").decode(errors="replace")
                        click.echo(f"{node['name']}: {text}" if named else text)
        except ClientError as error:
            click.echo(f"{node['name']}: {error.message}", err=True)

    async with at.async_client() as client, asyncio.TaskGroup() as group:
        for project, node in found:
            group.create_task(one(client, project, node))
    return 0
