"""labplane from a wheel in a fresh environment, beside plugins of strangers: one that works, many that do not."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broken import CAUSES, CONFIG, VERSION
from support import DEADLINE, Server, Viewer, free_range, running

BROKEN = "labplane-broken"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "labplane.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that appears when a plugin is imported that must not be."""
    return tmp_path_factory.mktemp("trace") / "imported"


@pytest.fixture(scope="module")
def server(environment: Path, config: Path, trace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the fresh environment, with all that is broken in it."""
    projects = tmp_path_factory.mktemp("thirdparty") / "projects"
    with running(
        projects,
        "--config",
        str(config),
        python=environment / "python",
        environment={"TRACE_OF_IMPORT": str(trace)},
    ) as server:
        yield server


@pytest.fixture(scope="module")
def reports(server: Server) -> dict[str, dict[str, Any]]:
    """What GET /v1/plugins says of the third parties, and of labplane's own, by distribution and name."""
    return {f"{one['distribution']} {one['name']}": one for one in server.http.get("/v1/plugins").json()}


def labplane(environment: Path, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("LABPLANE_")}
    return subprocess.run(
        [str(environment / "labplane"), *arguments],
        env={**plain, "LABPLANE_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_pip_installs_packages_of_labplane_and_nothing_called_kernel_plugins_or_tests(environment: Path) -> None:
    site_packages = next((environment.parent / "lib").glob("python*/site-packages"))
    names = {path.name for path in site_packages.iterdir()}
    ours = {
        "labplane",
        "labplane_files",
        "labplane_docs",
        "labplane_projects",
        "labplane_ports",
        "labplane_pytest",
        "labplane_server",
        "labplane_vpcs",
    }
    assert ours <= names
    assert not names & {"kernel", "plugins", "tests", "bench", "docs", "drivers"}
    assert all((site_packages / package / "py.typed").is_file() for package in ours)
    assert not [path for path in site_packages.rglob("*.pth") if "labplane" in path.read_text()]


def test_a_third_party_driver_is_short_with_its_test() -> None:
    folder = Path(__file__).parent / "thirdparty" / "labplane-echo"
    files = [folder / "pyproject.toml", folder / "labplane_echo.py", folder / "tests" / "test_echo.py"]
    assert sum(len(path.read_text().splitlines()) for path in files) < 60


def test_a_third_party_driver_has_everything_that_vpcs_has(server: Server) -> None:
    project = server.project()
    reply = server.http.post(f"{project}/echo/vms", json={"name": "E1", "greeting": "Welcome"})
    assert reply.status_code == 201
    shown = reply.json()
    assert (shown["name"], shown["greeting"], shown["status"]) == ("E1", "Welcome", "stopped")
    vm = f"{project}/echo/vms/{shown['vm_id']}"
    assert server.http.get(vm).json() == shown
    assert server.http.get(f"{project}/echo/vms").json() == [shown]
    assert server.http.get("/v1/echo").json() == {"count": 1}

    assert server.link(vm, server.udp[0], server.udp[1]).status_code == 201
    assert server.http.delete(f"{vm}/adapters/0/ports/0/nio").status_code == 204

    assert server.http.post(f"{vm}/start").status_code == 204
    assert server.http.get(vm).json()["status"] == "started"
    with Viewer(shown["console"]) as viewer:
        viewer.until(b"Welcome\r\n")
        viewer.type("over and out")
        viewer.until(b"over and out\r\nover and out\r\n")
    assert (Path(shown["vm_directory"]) / "echo.log").read_bytes().startswith(b"Welcome\r\n")

    changed = server.http.put(vm, json={"name": "E2", "greeting": "Again"})
    assert (changed.status_code, changed.json()["name"], changed.json()["greeting"]) == (200, "E2", "Again")
    assert server.http.post(f"{vm}/reload").status_code == 204
    with Viewer(shown["console"]) as viewer:
        viewer.until(b"Again\r\n")

    assert server.http.post(f"{vm}/stop").status_code == 204
    assert server.http.get(vm).json()["status"] == "stopped"
    assert server.http.delete(vm).status_code == 204
    assert server.http.get(vm).status_code == 404
    assert server.http.get("/v1/echo").json() == {"count": 0}
    assert server.http.delete(project).status_code == 204


def test_the_switch_from_outside_works_from_its_wheel(server: Server, reports: dict[str, dict[str, Any]]) -> None:
    """Two UDP sockets for PCs; real PCs are in the tests of the switch itself."""
    switch_report = reports["labplane-switch switch"]
    assert (switch_report["state"], switch_report["kinds"], switch_report["error"]) == ("active", ["switch"], None)
    project = server.project()
    switch = server.vm(project, "S", kind="switch", ports=2)
    assert server.http.post(f"{switch}/start").status_code == 204
    pcs = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    with pcs[0], pcs[1]:
        for number, pc in enumerate(pcs):  # while it runs
            pc.bind(("127.0.0.1", 0))
            pc.settimeout(DEADLINE)
            lport = server.http.post(f"{project}/ports/udp").json()["udp_port"]
            nio = {"type": "nio_udp", "lport": lport, "rhost": "127.0.0.1", "rport": pc.getsockname()[1]}
            assert server.http.post(f"{switch}/adapters/0/ports/{number}/nio", json=nio).status_code == 201
            pc.connect(("127.0.0.1", lport))
        pcs[0].send(b"\xff" * 6 + b"\0PC--0" + b"\x08\0hello")
        assert pcs[1].recv(100).endswith(b"hello")
    assert [one["frames_in"] for one in server.http.get(switch).json()["counters"]] == [1, 0]
    assert server.http.delete(project).status_code == 204


def test_a_third_party_setting_gets_its_default_and_is_validated(server: Server) -> None:
    project = server.project()
    vm = server.vm(project, kind="echo")
    assert server.http.get(vm).json()["greeting"] == "Hello"
    for body, words in (
        ({"greeting": 1}, "'greeting' must be of type string, not integer"),
        ({"greeting": "x" * 81}, "'greeting' must have at most 80 characters, not 81"),
        ({"greting": "x"}, "unknown 'greting'; allowed are 'console', 'greeting', 'name'"),
    ):
        refused = server.http.put(vm, json=body)
        assert refused.status_code == 400
        assert words in refused.json()["message"]
    server.http.delete(project)


def test_what_a_third_party_driver_cannot_do_is_a_405_that_says_what_it_can(server: Server) -> None:
    project = server.project()
    vm = server.vm(project, kind="echo")
    refused = server.http.post(f"{vm}/suspend")
    assert (refused.status_code, refused.json()["status"]) == (405, 405)
    assert refused.json()["message"] == "echo VMs cannot suspend; they can start, stop, reload."
    server.http.delete(project)


def test_a_vm_of_one_kind_is_none_of_another(server: Server) -> None:
    project = server.project()
    vm = server.vm(project, kind="echo")
    assert server.http.get(vm.replace("/echo/", "/vpcs/")).status_code == 404
    server.http.delete(project)


def test_the_plugins_that_work_do_so_beside_all_the_broken_ones(
    server: Server, reports: dict[str, dict[str, Any]]
) -> None:
    assert {name for name, one in reports.items() if one["state"] == "active"} == {
        "labplane files",
        "labplane labs",
        "labplane links",
        "labplane metrics",
        "labplane images",
        "labplane events",
        "labplane docs",
        "labplane gns3",
        "labplane ports",
        "labplane projects",
        "labplane server",
        "labplane vpcs",
        "labplane-echo echo",
        "labplane-linux linux",
        "labplane-linux nat",
        "labplane-qemu qemu",
        "labplane-responder responder",
        "labplane-switch switch",
    }
    echo = reports["labplane-echo echo"]
    assert (echo["version"], echo["api"], echo["error"]) == ("0.1.0", "labplane.v1", None)
    assert (echo["kinds"], echo["routes"]) == (["echo"], ["GET /v1/echo"])
    assert echo["hooks"] == ["drivers", "routes", "schemas"]
    project = server.project()
    server.vm(project)
    assert server.http.post(f"{project}/ports/udp").status_code == 201
    assert server.http.get("/v1/interfaces").status_code == 200
    assert server.http.delete(project).status_code == 204


@pytest.mark.parametrize("name", CAUSES)
def test_the_report_of_a_broken_plugin_names_distribution_version_and_cause(
    name: str, server: Server, reports: dict[str, dict[str, Any]]
) -> None:
    report = reports[f"{BROKEN} {name}"]
    assert (report["state"], report["distribution"], report["version"]) == ("failed", BROKEN, VERSION)
    assert CAUSES[name] in report["error"]
    assert report["hooks"] == report["kinds"] == report["routes"] == []
    assert f"plugin {name} of {BROKEN} {VERSION} is left out: " in server.log


def test_what_is_disabled_or_of_another_api_version_is_listed_and_not_imported(
    reports: dict[str, dict[str, Any]], trace: Path
) -> None:
    assert (reports[f"{BROKEN} disabled"]["state"], reports[f"{BROKEN} disabled"]["error"]) == ("disabled", None)
    future = reports[f"{BROKEN} future"]
    assert (future["state"], future["api"]) == ("other API version", "labplane.v2")
    assert "labplane.v2" in future["error"]
    assert not trace.exists()


@pytest.mark.parametrize("path", ["/v1/trace", "/v1/trace/1", "/v1/unmarked"])
def test_no_route_of_a_broken_plugin_answers(path: str, server: Server) -> None:
    assert server.http.get(path).status_code == 404


def test_labplane_plugins_lists_what_the_server_reports_and_fails(
    environment: Path, config: Path, reports: dict[str, dict[str, Any]]
) -> None:
    done = labplane(environment, config, "plugins", "--json")
    assert done.returncode == 1
    assert {f"{one['distribution']} {one['name']}": one for one in json.loads(done.stdout)} == reports
    listed = labplane(environment, config, "plugins").stdout
    assert "echo: active (labplane-echo 0.1.0)\n    kinds: echo\n    hooks: drivers, routes, schemas\n" in listed
    assert "    GET /v1/echo\n" in listed
    assert f"constructor: failed ({BROKEN} {VERSION})\n    OSError: in a constructor\n" in listed
    assert f"disabled: disabled ({BROKEN} {VERSION})\n" in listed


def test_with_strict_serve_exits_and_says_which_plugin_is_to_blame_for_what(
    environment: Path, config: Path, tmp_path: Path
) -> None:
    done = labplane(
        environment,
        config,
        "serve",
        "--strict",
        "--port",
        "0",
        "--projects-dir",
        str(tmp_path),
        "--udp-ports",
        free_range(5),
    )
    assert done.returncode == 1
    first = min(CAUSES)
    assert done.stderr.splitlines()[-1].startswith(f"Error: {first} of {BROKEN} {VERSION}: ")
    assert CAUSES[first] in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_server_with_third_party_vms_ends_clean(environment: Path, config: Path, tmp_path: Path) -> None:
    """A-3. And the starters and enders that broken plugins left are not called: they would raise."""
    with running(tmp_path / "projects", "--config", str(config), python=environment / "python") as server:
        vm = server.vm(server.project(temporary=True), kind="echo")
        assert server.http.post(f"{vm}/start").status_code == 204
        [pid] = server.children()
        assert server.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
        assert not Path(f"/proc/{pid}").exists()
        assert "Traceback" not in server.log
        left = {path.name for path in (tmp_path / "projects").iterdir()}
        assert left == {".labplane", ".labplane.lock"}
