"""A live server does what its document says: schemathesis sends it what the document allows, and what it does not."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import Server, free_range, running

HERE = Path(__file__).parent
TESTS = HERE.parent

EXAMPLES = os.environ.get("LABPLANE_FUZZ")  # so many for each operation, and others each time; `./run fuzz` sets it
HOW = ["--generation-deterministic", "--max-examples=15"] if EXAMPLES is None else [f"--max-examples={EXAMPLES}"]

# To the check that is left out DELETE is the only end of what POST made; a project also ends when it is closed (P-12).
CHECKS = ["--checks=all", "--exclude-checks=ensure_resource_availability"]

CONFIG = """
disabled = ["linux", "nat", "qemu"] # whose nodes would be started for real, by the hundred

# Here it costs nothing to start a VPCS.
[plugins.vpcs]
program = "/bin/false"
"""

LIAR = """
from starlette.responses import Response

from labplane import Plugin, Route, hook


class Liar(Plugin):
    @hook
    def routes(self):
        number = {"type": "integer"}
        return [
            Route("GET", "/v1/liar/crash", lambda _: 1 / 0, None, number),
            Route("GET", "/v1/liar/status", lambda _: Response(status_code=402)),
            Route("GET", "/v1/liar/reply", lambda _: "one", None, number),
            Route("GET", "/v1/liar/media", lambda _: Response("1", media_type="text/plain"), None, number),
        ]
"""

NEVER = {
    ("GET", "/v1/events"),  # see test_events.py
    ("GET", "/v1/projects/{project_id}/notifications"),
    ("POST", "/v1/version"),  # nobody guesses the server's
    ("POST", "/v1/projects/{project_id}/import"),  # nobody guesses an archive
    ("POST", "/v1/labs"),  # nor a lab file
    ("GET", "/v1/projects/{project_id}/vpcs/vms/{vm_id}/adapters/{adapter}/ports/{port}/nio"),  # seldom plugged then
    ("POST", "/v1/projects/{project_id}/links"),  # nobody guesses the ids of two VMs
    ("DELETE", "/v1/projects/{project_id}/links/{link_id}"),
    ("POST", "/v1/projects/{project_id}/{kind}/vms/{node_id}/exec"),
    ("GET", "/v1/{kind}/vms"),  # no kind here has images
    ("POST", "/v1/{kind}/vms/{path}"),
    ("DELETE", "/v1/{kind}/vms/{path}"),
    ("POST", "/v1/config/reload"),  # in local mode only
    ("POST", "/v1/server/shutdown"),  # in local mode only
    ("POST", "/v1/projects/{project_id}/vpcs/vms/{vm_id}/start"),  # see CONFIG
    ("POST", "/v1/projects/{project_id}/vpcs/vms/{vm_id}/reload"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server has its files, and schemathesis what it keeps."""
    home = tmp_path_factory.mktemp("document")
    (home / "labplane.toml").write_text(CONFIG)
    (home / "plugins").mkdir()
    (home / "plugins" / "liar.py").write_text(LIAR)
    shutil.copy(TESTS / "thirdparty" / "labplane-echo" / "labplane_echo.py", home / "plugins" / "echo.py")
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """A server with two third-party plugins: one brings a kind of VM and a route, the other routes that lie."""
    options = ("--config", str(home / "labplane.toml"), "--plugins-dir", str(home / "plugins"), "--access-log")
    with running(home / "projects", *options, consoles=free_range(400), udp=free_range(400)) as server:
        yield server


def schemathesis(server: Server, home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    hooks = {"SCHEMATHESIS_HOOKS": "live_ids", "PYTHONPATH": str(TESTS / "helpers"), "LABPLANE_URL": server.url}
    return subprocess.run(
        [*command, f"{server.url}/v1/openapi.json", *CHECKS, *HOW, *options],
        env={**os.environ, **hooks, "NO_COLOR": "1"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )


@pytest.fixture(scope="module")
def run(server: Server, home: Path) -> subprocess.CompletedProcess[str]:
    """A run over all operations but those that lie and those whose replies have no end."""
    return schemathesis(
        server,
        home,
        "--exclude-path-regex=^/v1/(liar/|events$)|/notifications$",
        "--phases=examples,coverage,fuzzing,stateful",
    )


def test_a_live_server_answers_whatever_comes_as_its_document_says(run: subprocess.CompletedProcess[str]) -> None:
    """No 5xx, no status, content type or schema that is not there, nothing good refused and nothing bad taken."""
    assert run.returncode == 0, run.stdout + run.stderr


def test_meanwhile_every_operation_did_its_work_at_least_once(
    run: subprocess.CompletedProcess[str], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of third parties too: the requests get further than to a 404."""
    requests = re.findall(r'"([A-Z]+) (\S+) HTTP/1\.1" (\d+)', server.log)
    if EXAMPLES is not None:
        with capsys.disabled():
            print(f"{len(requests)} requests for the document's operations")
    seen = set(requests)
    paths = server.http.get("/v1/openapi.json").json()["paths"]
    assert {"/v1/echo", "/v1/projects/{project_id}/echo/vms/{vm_id}/start"} < paths.keys()
    missing = set()
    for path, operations in paths.items():
        pattern = re.compile(re.sub(r"{\w+}", "[^/]+", path))
        for method, operation in operations.items():
            success = min(operation["responses"])
            if not any(
                (method.upper(), success) == (one, status) and pattern.fullmatch(at) for one, at, status in seen
            ):
                missing.add((method.upper(), path))
    assert {(method, path) for method, path in missing if "/liar/" not in path} <= NEVER


def test_routes_that_lie_are_found_out(server: Server, home: Path) -> None:
    run = schemathesis(server, home, "--include-path-regex=^/v1/liar/", "--phases=fuzzing", "--max-examples=1")
    assert run.returncode == 1, run.stdout + run.stderr
    for finding in (
        "Server error",
        "Undocumented status code",
        "Response violates schema",
        "Undocumented Content-Type",
    ):
        assert finding in run.stdout
    assert "4 failed" in run.stdout
