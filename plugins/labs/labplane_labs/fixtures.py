"""The fixture `lab` for pytest: a lab of a file, up for a module of tests and gone afterwards."""

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from labplane_client import VM, Client
    from labplane_labs.labfile import LabFile

WAIT = 120.0


class Lab:
    """A lab that is up.

    client: of its server.
    file:   what its file says.
    project_id: that of its project.
    """

    def __init__(self, client: "Client", file: "LabFile", name: str) -> None:
        from labplane_labs import ids

        self.client, self.file, self.project_id = client, file, ids.project_id(name)
        self._ids = {node: ids.vm_id(name, node) for node in file.nodes}

    def node(self, name: str) -> "VM":
        """A node as it is now."""
        return self.client.vm(self.project_id, self.file.nodes[name].kind, self._ids[name])

    def ask(self, name: str, line: str, *, timeout: float = 30.0) -> str:
        """What a node prints when that line is typed at its console. The test fails when no prompt follows."""
        answer = self.client.answer(self.node(name), line, timeout=timeout)
        if answer["ended_by"] != "prompt":
            pytest.fail(f"{name} did not come back from {line!r} ({answer['ended_by']}): {answer['output'][-500:]}")
        return str(answer["output"])

    def topology(self) -> Mapping[str, Any]:
        """Its nodes, and what is linked to what."""
        return self.client.topology(self.project_id)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "lab(file): the file of the fixture `lab`, beside the test [labplane]")


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab of ``pytestmark = pytest.mark.lab("FILE")``, a path from the test's own, or of lab.yaml beside it.

    It is up, at its prompts, at the server of the variable LABPLANE_URL (with LABPLANE_TOKEN), or at one of its own.
    """
    import asyncio
    import time
    from contextlib import ExitStack

    from labplane_client import AsyncClient, Client
    from labplane_labs import servers
    from labplane_labs.bringing import up
    from labplane_labs.labfile import load
    from labplane_labs.problems import BadFile

    mark = request.node.get_closest_marker("lab")
    path = Path(request.path).parent / (mark.args[0] if mark else "lab.yaml")
    token = os.environ.get("LABPLANE_TOKEN")
    with ExitStack() as stack:
        url = os.environ.get("LABPLANE_URL") or stack.enter_context(servers.temporary()).url
        client = stack.enter_context(Client(url, token=token))
        schema = client.call("GET", "/v1/lab.schema.json")
        try:
            file = load(path, schema)
        except BadFile as error:
            pytest.fail(str(error), pytrace=False)
        name = f"{file.name}.test-{secrets.token_hex(4)}"
        made = Lab(client, file, name)

        async def bring() -> list[str]:
            async with AsyncClient(url, token=token) as asynchronous:
                outcome = await up(asynchronous, file, schema, name=name, wait=True, deadline=time.monotonic() + WAIT)
                return outcome.failures

        stack.callback(lambda: client.delete_project(client.create_project(project_id=made.project_id)))
        if failures := asyncio.run(bring()):
            pytest.fail("\n".join(failures), pytrace=False)
        yield made
