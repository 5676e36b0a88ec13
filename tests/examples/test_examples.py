"""Each lab of examples/ comes up on real VPCS and passes its own tests."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from guests import IPXE, require_guests
from labplane.cli import main
from support import Server, running

TREE = Path(__file__).parents[2]
EXAMPLES = sorted((TREE / "examples").glob("*.yaml"))
WITH_A_TASK = {"broken", "classroom"}  # their tests pass when the task is done


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("examples")
    config = folder / "labplane.toml"
    config.write_text(f"[plugins.images]\ndir = '{folder / 'images'}'\n")
    with running(folder / "projects", "--config", str(config)) as server:
        yield server
        assert server.children() == []


def run(server: Server, *arguments: str | Path) -> Result:
    plain = {name: None for name in os.environ if name.startswith("LABPLANE_")}
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, words, env={**plain, "LABPLANE_URL": server.url})


@pytest.fixture
def lab(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[Path]:
    """A copy of an example that is up."""
    file = tmp_path / "lab.yaml"
    file.write_text(request.param.read_text())
    if "ipxe.lkrn" in file.read_text():
        require_guests()
        assert server.http.post("/v1/qemu/vms/ipxe.lkrn", content=IPXE.read_bytes()).status_code == 204
    done = run(server, "up", file, "--wait", "--timeout", "120")
    assert done.exit_code == 0, done.output
    yield file
    assert run(server, "down", file).exit_code == 0


def results(server: Server, file: Path) -> dict[str, str | None]:
    """What became of each test of the file: None, or why it failed."""
    done = run(server, "test", "-o", "json", file)
    return {result["name"]: result["failure"] for result in json.loads(done.stdout)}


def test_there_are_examples_and_the_readme_s_is_one_of_them() -> None:
    names = {path.stem for path in EXAMPLES}
    assert len(names) >= 8
    assert {"two-pcs", *WITH_A_TASK} <= names
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", (TREE / "docs" / "labs.md").read_text(), re.M)) >= names


def test_the_commands_of_the_readme_do_what_it_says(server: Server) -> None:
    """All but the first, which installs, and the one that waits for a person."""
    (typed, *_) = re.findall(r"^```sh\n(.*?)^```$", (TREE / "README.md").read_text(), re.M | re.S)
    install, *commands = typed.splitlines()
    assert "pip install" in install
    outputs = {}
    for command in commands:
        program, name, *words = shlex.split(command, comments=True)
        assert program == ".venv/bin/labplane"
        if name != "console":
            done = run(server, name, *(str(TREE / word) if word.startswith("examples/") else word for word in words))
            assert done.exit_code == 0, done.output
            outputs[name] = done.stdout
    assert "two-pcs is up" in outputs["up"]
    assert "10.0.0.2 icmp_seq=5 ttl=64" in outputs["exec"]
    assert "two-pcs is down" in outputs["down"]


@pytest.mark.parametrize(
    "lab", [path for path in EXAMPLES if path.stem not in WITH_A_TASK], ids=lambda path: path.stem, indirect=True
)
def test_an_example_does_what_it_says(server: Server, lab: Path) -> None:
    found = results(server, lab)
    assert found
    assert set(found.values()) == {None}, found


@pytest.mark.parametrize("lab", [path for path in EXAMPLES if path.stem == "broken"], indirect=True)
def test_the_broken_lab_can_be_mended(server: Server, lab: Path) -> None:
    failed = [name for name, failure in results(server, lab).items() if failure]
    assert failed == ["pc2 reaches the server", "pc3 reaches the server"]
    lab.write_text(lab.read_text().replace("192.168.1.2/30", "192.168.1.2/24").replace("192.168.11.3", "192.168.1.3"))
    done = run(server, "up", lab, "--wait")
    assert "restarted" in done.stdout
    assert set(results(server, lab).values()) == {None}


@pytest.mark.parametrize("lab", [path for path in EXAMPLES if path.stem == "classroom"], indirect=True)
def test_the_task_of_the_class_can_be_done(server: Server, lab: Path) -> None:
    assert all(results(server, lab).values())
    for number in (1, 2):
        done = run(server, "exec", "--lab", lab, f"pc{number}", f"ip 172.16.0.{number}/24")
        assert done.exit_code == 0, done.output
    assert set(results(server, lab).values()) == {None}
