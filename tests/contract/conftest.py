"""Servers that the tests of one module share; a test whose outcome depends on what went before starts its own."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from archives import SCRIPTS
from expect import nothing, shown
from machines import linked
from support import Server, free_range, running
from wire import Wire


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in its default mode, where the client may not choose paths or stop it."""
    projects = tmp_path_factory.mktemp("server") / "projects"
    with running(projects, consoles=free_range(80), udp=free_range(80, socket.SOCK_DGRAM)) as server:
        yield server


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in local mode."""
    with running(tmp_path_factory.mktemp("local") / "projects", "--local") as server:
        yield server


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with four console ports and four UDP ports; a test must give back what it takes."""
    udp = free_range(4, socket.SOCK_DGRAM)
    with running(tmp_path_factory.mktemp("tight") / "projects", consoles=free_range(4), udp=udp) as server:
        yield server


@pytest.fixture
def close_by() -> Iterator[Path]:
    """A directory like `tmp_path`, with a short name: a Unix socket's may have 107 bytes, a line for VPCS 142."""
    with tempfile.TemporaryDirectory(prefix="labplane-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def project(server: Server) -> Iterator[str]:
    """A project whose end gives back what its test took, processes included."""
    yield from _project(server)


@pytest.fixture
def small_project(small_server: Server) -> Iterator[str]:
    """A project of the server with four consoles."""
    yield from _project(small_server)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another server, with ports of its own."""
    with running(tmp_path_factory.mktemp("other") / "projects") as server:
        yield server


@pytest.fixture
def other_project(other: Server) -> Iterator[str]:
    """A new project of the other server."""
    project = other.project()
    yield project
    nothing(other.http.delete(project))


@pytest.fixture
def lab(server: Server) -> Iterator[str]:
    """A project with two linked VPCS that have scripts, and a file beside them."""
    project = server.project(name="two PCs")
    for path, (name, text) in zip(server.linked_pair(project), SCRIPTS.items(), strict=True):
        shown(server.http.put(path, json={"name": name, "startup_script": text}))
    nothing(server.http.post(f"{project}/files/notes.txt", content=b"mind the gap"), 200)
    yield project
    nothing(server.http.delete(project))


@pytest.fixture
def vm(server: Server, project: str) -> str:
    """A linked VM that is not started."""
    return linked(server, project)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    """A bare connection to the server."""
    with Wire(server.port) as wire:
        yield wire


def _project(server: Server) -> Iterator[str]:
    project = server.project()
    yield project
    assert server.http.delete(project).status_code in (204, 404)
    assert server.children() == []
