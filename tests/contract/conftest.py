"""Servers that the tests of one module share; a test whose outcome depends on what went before starts its own."""

import socket
from collections.abc import Iterator

import pytest
from support import Server, free_range, running


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
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with four console ports and four UDP ports; a test must give back what it takes."""
    udp = free_range(4, socket.SOCK_DGRAM)
    with running(tmp_path_factory.mktemp("tight") / "projects", consoles=free_range(4), udp=udp) as server:
        yield server
