"""docs/clients.md: its examples are run as they stand, its table has every method."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labplane.client import Operations, operation
from support import Server, running

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
SERVER = "http://127.0.0.1:8000"
WITH_HTTPX, WITH_CLIENT, WITH_ASYNC_CLIENT, ASKED, REFUSED, CONSOLES = re.findall(
    r"^```python\n(.*?)^```$", PAGE, re.M | re.S
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("page") / "projects") as server:
        yield server


def run(code: str, server: Server, *arguments: str) -> str:
    """What the example prints, at that server."""
    command = [sys.executable, "-W", "error", "-c", code.replace(SERVER, server.url), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_curl_prints_what_the_page_says(server: Server) -> None:
    examples = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```$", PAGE, re.M | re.S)
    assert examples
    for command, sample in examples:
        asked = shlex.split(command.replace(SERVER, server.url))
        assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == sample.rstrip("\n")


@pytest.mark.parametrize("lab", [WITH_HTTPX, WITH_CLIENT, WITH_ASYNC_CLIENT], ids=["httpx", "Client", "AsyncClient"])
def test_the_two_pcs_of_the_page_ping_each_other(lab: str, server: Server) -> None:
    assert SERVER in lab
    consoles = re.findall(r"^telnet 127\.0\.0\.1 (\d+)$", run(lab, server), re.M)
    assert "icmp_seq=4 ttl=64" in run(CONSOLES, server, *consoles)
    (project,) = server.http.get("/v1/projects").json()
    assert server.http.delete(f"/v1/projects/{project['project_id']}").status_code == 204


def test_the_session_with_httpx_takes_fifteen_lines() -> None:
    assert "import httpx2\n" in WITH_HTTPX
    assert len(WITH_HTTPX.splitlines()) <= 15


def test_the_console_of_the_page_answers(server: Server) -> None:
    assert "10.0.0.2 icmp_seq=1 ttl=64" in run(ASKED, server)
    (project,) = server.http.get("/v1/projects").json()
    assert server.http.delete(f"/v1/projects/{project['project_id']}").status_code == 204


def test_the_refusal_of_the_page_is_one(server: Server) -> None:
    assert run(REFUSED, server).startswith("404 ")


def test_every_method_of_the_client_is_in_the_table() -> None:
    table = [cells for line in PAGE.splitlines() if line.startswith("|") for cells in [line.split("|")[1]]]
    documented = {name for cell in table for name in re.findall(r"`(\w+)\(", cell)}
    assert documented == {name for name, member in vars(Operations).items() if isinstance(member, operation)}
