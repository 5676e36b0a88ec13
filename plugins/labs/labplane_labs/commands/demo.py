"""The command `demo`: a lab file, brought up before the eyes of a newcomer, request by request; then pings."""

import asyncio
import json
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from importlib.resources import files
from typing import Any

import click
import httpx2

from labplane_client import VM, AsyncClient, ClientError
from labplane_client.consoles import PROMPT, Transcript
from labplane_labs import ids, servers
from labplane_labs.bringing import up
from labplane_labs.labfile import LabFile, checked
from labplane_labs.problems import BadFile, TooLate
from labplane_labs.reading import Document

Say = Callable[[str], None]

PATIENCE = 60.0
NO_SWITCH = (
    "the server has no VMs of the kind 'switch'. Install them into its environment, in labplane's source tree with "
    "pip install ./drivers/labplane-switch, and start it again."
)


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


@click.command()
@click.option("--url", help="A running server [default: start one on free ports]")
@click.option("--exit", "exits", is_flag=True, help="End after the ping; exit code 0 only if it came back")
@click.option("--switch", is_flag=True, help="With three PCs on a switch; needs the plugin labplane-switch")
def demo(url: str | None, exits: bool, switch: bool) -> None:
    """Bring up a lab of two PCs, let them ping each other; then leave it running until Ctrl-C."""
    sys.exit(play(url, exits, click.echo, switch=switch))


def play(url: str | None, exits: bool, say: Say, *, switch: bool = False) -> int:
    """Play the demo at the server `url`, or at one of its own; the exit code, 0 if each ping came back.

    exits:  end then, instead of leaving the lab running until Ctrl-C.
    switch: with three PCs on a switch instead of two that are linked to each other.
    """
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):  # to end in order, as after Ctrl-C
            stack.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
        try:
            if url is None:
                server = stack.enter_context(servers.temporary())
                say(f"A server runs at {server.url}, with its files in {server.directory}.")
                url = server.url
            return asyncio.run(_play(url.rstrip("/"), exits, say, switch=switch))
        except (DemoError, ClientError, TooLate, BadFile, servers.NoServer, OSError) as error:
            say(f"\nThe demo cannot go on: {error}")
            return 1
        except KeyboardInterrupt:
            return 1


async def _play(url: str, exits: bool, say: Say, *, switch: bool) -> int:
    text = files("labplane_labs").joinpath("demo", "three-pcs.yaml" if switch else "two-pcs.yaml").read_text("utf-8")
    async with AsyncClient(url) as silent:
        schema = await silent.call("GET", "/v1/lab.schema.json")
        if switch and "node.switch" not in schema["$defs"]:
            raise DemoError(NO_SWITCH)
        lab = checked(Document("demo.yaml", text), schema)
        say(f"\n$ cat demo.yaml\n{text}\n$ labplane up demo.yaml")
        async with (
            _talking(url, say) as client,
            _lab(client, silent, lab, schema, f"{lab.name}-{secrets.token_hex(4)}") as nodes,
        ):
            pcs = [vm for vm in nodes.values() if vm.kind == "vpcs"]
            say("\nThe PCs are those that labplane has built in: no other program runs them.")
            came_back = True
            for number, pc in enumerate(pcs, 1):
                say(f"\n$ telnet {client.http.base_url.host} {pc.console}")
                lines = [f"ip 192.168.1.{number}", *(f"ping 192.168.1.{other}" for other in range(1, number))]
                _, *pings = await _type(silent, pc, lines, say)
                came_back &= all(" ttl=" in answer for answer in pings)
            if switch:
                say("\nWhat passed through the switch:")
                await client.vm(nodes["sw1"].project_id, "switch", nodes["sw1"].vm_id)
            say("\nThe PCs see each other: each ping came back." if came_back else "\nA ping did not come back.")
            if came_back and not exits:
                await _stay(client.http.base_url.host, pcs, say)
    return 0 if came_back else 1


async def _stay(host: str, pcs: list[VM], say: Say) -> None:
    """Leave the lab running until Ctrl-C."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, ended.set)
    say("\nThe lab keeps running. In another terminal, try:")
    for pc in pcs:
        say(f"    telnet {host} {pc.console}")
    say("\nCtrl-C ends it.")
    await ended.wait()


@asynccontextmanager
async def _talking(url: str, say: Say) -> AsyncIterator[AsyncClient]:
    """A client that says each request as a curl line, with its reply."""

    async def answered(reply: httpx2.Response) -> None:
        request = reply.request
        verb = "" if request.method == ("POST" if request.content else "GET") else f"-X {request.method} "
        body = f" -d '{json.dumps(json.loads(request.content))}'" if request.content else ""
        say(f"\n$ curl {verb}{request.url}{body}")
        if await reply.aread():
            say(reply.text)

    hooks: Mapping[str, list[Callable[..., Any]]] = {"response": [answered]}
    http = httpx2.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False, event_hooks=dict(hooks))
    async with AsyncClient(http=http) as client:
        yield client


@asynccontextmanager
async def _lab(
    client: AsyncClient, silent: AsyncClient, lab: LabFile, schema: Mapping[str, Any], name: str
) -> AsyncIterator[dict[str, VM]]:
    """The nodes of the lab, which is up; its project is deleted on leaving."""
    project_id = ids.project_id(name)
    try:
        outcome = await up(client, lab, schema, name=name, deadline=time.monotonic() + PATIENCE)
        if outcome.failures:
            raise DemoError(" ".join(outcome.failures))
        vms = [await silent.vm(project_id, node.kind, ids.vm_id(name, node.name)) for node in lab.nodes.values()]
        yield {vm.name: vm for vm in vms}
    finally:
        with suppress(ClientError):  # the server may have gone
            await silent.delete_project(project_id)


async def _type(client: AsyncClient, pc: VM, lines: list[str], say: Say) -> list[str]:
    """Type these lines at a console, whose output is said as it comes; what each printed."""
    answers = []
    async with client.console(pc) as console:
        shown, seen = b"", Transcript(PROMPT)
        for line in ("", *lines):  # at the prompt first
            deadline = time.monotonic() + PATIENCE
            if line:
                seen.seen = b""
                await console.send(line.encode() + b"\r")
            while not (seen.answered(None) if line else seen.at_prompt):
                data = await console.receive(max(deadline - time.monotonic(), 0.001))
                if not data:
                    raise DemoError(f"the console did not come to its prompt; it printed {seen.seen[-200:]!r}")
                seen.seen += data
                *whole, shown = (shown + data).split(b"\n")
                for text in whole:
                    say(text.replace(b"\r", b"").decode(errors="replace"))
            if line:
                answers.append(seen.answer(line))
    return answers
