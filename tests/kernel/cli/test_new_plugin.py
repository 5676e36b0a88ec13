"""Plugins as ``labplane new-plugin`` and the tutorial write them: installed, their own tests, beside the others."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labplane.cli.scaffold import FLAVOURS
from labplane.plugins.loading import installed
from support import Server, Viewer, running

ECHO = Path(__file__).parents[2] / "thirdparty" / "labplane-echo"


class Workshop:
    """An environment of its own, in which pip has installed what was written for each flavour, and the tutorial's.

    home:   where the distributions are.
    python: the environment's interpreter.
    """

    def __init__(self, home: Path, environment: Path) -> None:
        self.home = home
        self.python = home / ".venv" / "bin" / "python"
        self._run(environment / "python", "-m", "venv", "--without-pip", home / ".venv")
        # labplane was installed once for all tests: what the stranger has is here too, but for plugins.
        (home / "shared").mkdir()
        (site_packages,) = environment.parent.glob("lib/python*/site-packages")
        for path in site_packages.iterdir():
            if not path.name.startswith(("labplane_broken", "labplane_echo", "labplane_responder")):
                (home / "shared" / path.name).symlink_to(path)
        (own,) = (home / ".venv").glob("lib/python*/site-packages")
        (own / "shared.pth").write_text(f"{home / 'shared'}\n")
        for flavour in FLAVOURS:
            self._run(self.python, "-m", "labplane", "new-plugin", f"labplane-my-{flavour}", f"--{flavour}")
        shutil.copytree(ECHO, home / ECHO.name)
        pip: list[str | Path] = [
            "-m",
            "pip",
            "--python",
            self.python,
            "install",
            "--disable-pip-version-check",
            "--no-build-isolation",
        ]
        self._run(environment / "python", *pip, *(f"{path}[test]" for path in home.glob("labplane-*")))

    def test(self, distribution: str) -> str:
        """What pytest says about that distribution."""
        return self._run(self.python, "-m", "pytest", folder=distribution)

    def _run(self, *command: str | Path, folder: str = ".") -> str:
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("LABPLANE_", "COV", "PYTEST"))}
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.home / folder,
            env=plain,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def workshop(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"), environment)


@pytest.fixture(scope="module")
def server(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("new-plugins") / "projects", python=workshop.python) as server:
        yield server


@pytest.mark.parametrize("distribution", [*(f"labplane-my-{flavour}" for flavour in FLAVOURS), ECHO.name])
def test_its_tests_pass_as_written(distribution: str, workshop: Workshop) -> None:
    said = workshop.test(distribution)
    assert re.search(r"\b[1-9]\d* passed", said)
    assert "failed" not in said


def test_each_is_active_beside_those_of_labplane(server: Server) -> None:
    reports = {report["name"]: report for report in server.http.get("/v1/plugins").json()}
    ours = {candidate.name for candidate in installed() if candidate.distribution == "labplane"}
    assert reports.keys() == {*ours, "my_plain", "my_process", "my_routes", "echo", "switch", "linux", "nat", "qemu"}
    assert {report["state"] for report in reports.values()} == {"active"}
    for flavour in FLAVOURS:
        assert reports[f"my_{flavour}"]["distribution"] == f"labplane-my-{flavour}"
    assert reports["my_process"]["kinds"] == ["my_process"]
    assert reports["my_plain"]["kinds"] == ["my_plain"]
    assert reports["my_routes"]["routes"] == ["GET /v1/my_routes"]


def test_a_program_is_typed_to_and_its_property_counts(server: Server) -> None:
    project = server.project()
    vm = server.vm(project, kind="my_process", numbered=True)
    assert server.http.post(f"{vm}/start").status_code == 204
    with Viewer(server.http.get(vm).json()["console"]) as viewer:
        viewer.type("hello")
        viewer.until(b"     1\thello")
    refused = server.http.put(vm, json={"numbered": 1})
    assert refused.status_code == 400
    assert "'numbered' must be of type boolean" in refused.json()["message"]
    assert server.http.delete(project).status_code == 204


def test_two_vpcs_reach_each_other_through_a_hub_and_the_route_counts_them(server: Server) -> None:
    project = server.project()
    hub = server.vm(project, kind="my_plain")
    consoles = []
    for port in range(2):
        vpcs = server.vm(project, f"PC{port}")
        near, far = (server.http.post(f"{project}/ports/udp").json()["udp_port"] for _ in range(2))
        assert server.link(vpcs, near, far).status_code == 201
        nio = {"type": "nio_udp", "lport": far, "rport": near, "rhost": "127.0.0.1"}
        assert server.http.post(f"{hub}/adapters/0/ports/{port}/nio", json=nio).status_code == 201
        assert server.http.post(f"{vpcs}/start").status_code == 204
        consoles.append(server.http.get(vpcs).json()["console"])
    assert server.http.get("/v1/my_routes").json() == {"vms": 3, "started": 2}
    assert server.http.post(f"{hub}/start").status_code == 204
    assert server.http.get("/v1/my_routes").json() == {"vms": 3, "started": 3}
    with Viewer(consoles[0]) as one, Viewer(consoles[1]) as two:
        for number, viewer in enumerate((one, two), 1):
            viewer.until(b"VPCS> ")
            viewer.type(f"ip 192.168.1.{number}")
            viewer.until(b"255.255.255.0")
        two.type("ping 192.168.1.1 -c 1")
        two.until(b"icmp_seq=1 ttl=64")
    assert server.http.post(f"{hub}/stop").status_code == 204
    assert server.http.delete(project).status_code == 204
    assert server.http.get("/v1/my_routes").json() == {"vms": 0, "started": 0}


def test_what_is_installed_already_is_not_written_again(workshop: Workshop, tmp_path: Path) -> None:
    command = [str(workshop.python), "-m", "labplane", "new-plugin", "other", "--kind", "my_plain"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "The kind 'my_plain' is taken by the plugin my_plain of labplane-my-plain 0.1.0; choose" in done.stderr
    assert list(tmp_path.iterdir()) == []


def checked(workshop: Workshop, folder: Path) -> tuple[int, str]:
    """The exit status and the report of `labplane check-plugin`."""
    command = [str(workshop.python), "-m", "labplane", "check-plugin", str(folder)]
    done = subprocess.run(command, cwd=workshop.home, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_what_was_written_passes_its_check(workshop: Workshop) -> None:
    status, report = checked(workshop, workshop.home / "labplane-my-routes")
    assert status == 0, report
    assert "Nothing is wrong." in report
    assert "labplane_my_routes-0.1.0-py3-none-any.whl brings labplane_my_routes" in report
    assert re.search(r"tests: [1-9]\d* passed", report)


def test_a_check_tells_all_that_is_wrong_in_one_report(workshop: Workshop, tmp_path: Path) -> None:
    folder = tmp_path / "labplane-other"
    shutil.copytree(workshop.home / "labplane-my-routes", folder)
    about = (folder / "pyproject.toml").read_text()
    about = about.replace('"labplane-my-routes"', '"labplane-other"').replace('"labplane_my_routes:', '"nothing_here:')
    about = re.sub(r'"labplane>=.*?"', '"labplane"', about).replace('keywords = ["labplane"]\n', "")
    (folder / "pyproject.toml").write_text(about + '\n[tool.hatch.build.targets.wheel]\npackages = ["tests"]\n')
    (folder / "tests" / "test_wrong.py").write_text("def test_it() -> None:\n    assert False\n")
    status, report = checked(workshop, folder)
    assert status == 1
    for words in (
        "WRONG metadata: labplane takes labplane 2 too; end it with <2",
        "WRONG build: the wheel lacks the module 'nothing_here'",
        "WRONG build: the wheel installs 'tests' at the top",
        "WRONG plugin: it was not loaded, for it is not installed here",
        "WRONG tests: 1 failed",
        'ok    metadata: [project] lacks keywords = ["labplane"]',
        "5 things to mend.",
    ):
        assert words in report


def test_a_directory_without_a_project_is_told_so(workshop: Workshop, tmp_path: Path) -> None:
    status, report = checked(workshop, tmp_path)
    assert status == 1
    assert "pyproject.toml' cannot be read" in report or "pyproject.toml cannot be read" in report


def test_a_plugin_is_uninstalled_and_installed_again_while_it_is_broken(workshop: Workshop) -> None:
    def labplane(*words: str) -> str:
        command = [str(workshop.python), "-m", "labplane", *words]
        done = subprocess.run(command, cwd=workshop.home, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    module = next(workshop.home.glob(".venv/lib/python*/site-packages/labplane_my_routes.py"))
    module.write_text("raise RuntimeError('broken')\n")
    assert "Restart the server" in labplane("uninstall", "labplane-my-routes")
    assert "my_routes" not in labplane("plugins")
    labplane("install", "--", "--no-build-isolation", "./labplane-my-routes")
    assert "my_routes: active" in labplane("plugins")
