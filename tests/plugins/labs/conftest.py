"""A server, and the commands as a user runs them at it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from labplane.cli import main
from labplane_client import Client
from labs_at import Run
from support import Server, free_range, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    projects = tmp_path_factory.mktemp("server") / "projects"
    with running(projects, consoles=free_range(80), udp=free_range(120, socket.SOCK_DGRAM)) as server:
        yield server
        assert server.children() == []


@pytest.fixture(scope="module")
def schema(server: Server) -> Any:
    return server.http.get("/v1/lab.schema.json").json()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of that server; whatever is open at its end is deleted."""
    with Client(server.url) as client:
        yield client
        for project in client.projects():
            client.delete_project(project)


@pytest.fixture
def run(server: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command of labplane at the server, in a directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    plain = {name: None for name in os.environ if name.startswith("LABPLANE_")}

    def run(*arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, arguments, env={**plain, "LABPLANE_URL": server.url})
        assert done.exit_code == code, f"{done.exit_code}: {done.output} {done.exception!r}"
        return done

    return run
