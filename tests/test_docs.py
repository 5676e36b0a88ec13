"""The pages say what is so: their tables are compared with the code, their sessions and examples are run."""

import dataclasses
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

import labplane
import labplane.testing
from labplane.api.openapi import ALWAYS
from labplane.api.vm_routes import ACTIONS
from labplane.cli.commands import new_plugin, serve
from labplane.cli.scaffold import FLAVOURS
from labplane.kernel import Kernel
from labplane.plugins import contract
from labplane.plugins.loading import installed
from labplane.settings import Settings
from labplane_gns3 import command as gns3
from labplane_gns3.ini import Ini
from support import Server, Viewer, running

TREE = Path(__file__).parent.parent
PAGES = {path.name: path.read_text() for path in [*TREE.glob("*.md"), *TREE.glob("docs/*.md")]}
README, API = PAGES["README.md"], PAGES["api.md"]
RULE = r"(?<![\w-])([VPUIMNSATELCQBOFWGKY]-\d{1,2})(?![\w-]|\.\d)"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below that heading, without its head."""
    below = page[page.index(heading) :]
    table = re.search(r"^\|.*?\n(?=[^|]|\Z)", below, re.DOTALL | re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def code(cell: str) -> str:
    found = re.search(r"`(.+?)`", cell)
    assert found, cell
    return found[1]


def test_the_table_of_routes_is_the_table_of_routes(tmp_path: Path) -> None:
    own = [candidate for candidate in installed() if candidate.distribution == "labplane"]
    lab = Kernel(Settings(projects_dir=str(tmp_path)), own)
    anywhere = set(ALWAYS)
    there = {
        (route.method, route.path, route.status): {*route.refusals, *([404] if "_id}" in route.path else [])} - anywhere
        for route in lab.routes.routes
    }
    documented = {
        (method, code(path), int(status)): {int(refusal) for refusal in refusals.split()} - anywhere
        for _, method, path, status, refusals in rows(API, "## 0. Routes")
    }
    assert documented == there


def test_the_state_of_each_route_of_gns3_is_so(tmp_path: Path) -> None:
    own = [candidate for candidate in installed() if candidate.distribution == "labplane"]
    there = {(route.method, route.path) for route in Kernel(Settings(projects_dir=str(tmp_path)), own).routes.routes}
    listed = rows(API, "## 18. The routes of GNS3")
    offered = {
        (method, code(path)) for methods, path, state in listed for method in methods.split() if state == "offered"
    }
    assert len(offered) > 25
    assert offered <= there
    for methods, paths, state in listed:
        if state != "offered":
            for path in re.findall(r"`(/[^`]+)`", paths):
                assert not {(method, path) for method in methods.split()} & there, path


def test_every_rule_that_is_cited_exists() -> None:
    rules = set(re.findall(r"\*\*([A-Z]-\d+)\*\*", API))
    assert len(rules) > 100
    sources = [
        path for folder in ("kernel", "plugins", "drivers", "tests", "bench") for path in (TREE / folder).rglob("*.py")
    ]
    assert len(sources) > 40
    for name, text in [*PAGES.items(), *((path.name, path.read_text()) for path in sources)]:
        unknown = set(re.findall(RULE, text)) - rules
        assert not unknown, f"{name} cites {sorted(unknown)}"


def test_each_promise_of_security_names_a_test_that_is_there() -> None:
    promises = rows(PAGES["SECURITY.md"], "## What is promised")
    assert len(promises) > 15
    for promise, test in promises:
        path, _, name = code(test).partition("::")
        assert f"def {name}(" in (TREE / path).read_text(), promise


def test_each_row_of_reliability_names_a_test_that_is_there() -> None:
    tests = re.findall(r"\| `((?:tests|drivers|web)/[^`]+)` \|$", PAGES["reliability.md"], re.MULTILINE)
    assert len(tests) > 10
    assert len(tests) == len(re.findall(r"^\| (?!Tried|---)", PAGES["reliability.md"], re.MULTILINE))
    for test in tests:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (TREE / path).read_text(), test


def test_no_rule_is_defined_twice() -> None:
    rules = re.findall(r"\*\*([A-Z]-\d+)\*\*", API)
    assert len(rules) == len(set(rules))


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    folder = TREE if (TREE / page).exists() else TREE / "docs"
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGES[page]):
        if target.startswith("https://"):
            continue
        assert (folder / target).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", PAGES[Path(target).name or page], re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target}#{anchor}"


def test_the_settings_are_all_there_with_their_defaults() -> None:
    home = "~/.local/share/labplane"
    defaults = Settings(projects_dir=f"{home}/projects", token_file=f"{home}/token")
    fields = {field.name for field in dataclasses.fields(Settings)} - {"source"}
    documented = {code(key): row for key, *row in rows(PAGES["settings.md"], "| Key")}
    assert documented.keys() == fields
    for key, (default, _, reload, _) in documented.items():
        value = getattr(defaults, key)
        assert json.loads(code(default)) == (list(value) if isinstance(value, tuple) else value), key
        assert (reload == "yes") == (key not in Settings.FIXED), key


def test_the_options_of_serve_are_all_there() -> None:
    documented = {
        option for row in rows(PAGES["settings.md"], "| Key") for option in re.findall(r"`(--[a-z-]+)`", row[2])
    }
    parameters = [parameter for parameter in serve.params if isinstance(parameter, click.Option)]
    there = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}
    assert documented == there - {"--config", "--keep"}  # the same as --on-exit keep


def test_the_options_of_the_local_server_are_all_there() -> None:
    table = rows(PAGES["settings.md"], "## As the local server of GNS3")
    documented = {option for row in table for option in re.findall(r"`(--?[a-z]+)", row[0], re.IGNORECASE)}
    parameters = [parameter for parameter in gns3.main.params if isinstance(parameter, click.Option)]
    assert documented == {name for parameter in parameters for name in parameter.opts}


def test_the_keys_of_the_ini_file_are_all_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that are documented are those that are asked for."""
    asked: set[tuple[str, str]] = set()

    class Recorder(Ini):
        def text(self, section: str, key: str) -> str | None:
            asked.add((section, key))
            return super().text(section, key)

    monkeypatch.setattr(gns3, "Ini", Recorder)
    monkeypatch.setattr(gns3, "ini_files", list)
    gns3.read_settings(None, {"LABPLANE_CONFIG": os.devnull}, {"allow": False})
    documented = set()
    for cell, _ in rows(PAGES["settings.md"], "| INI key"):
        section = re.search(r"\[(\w+)\]", cell)
        assert section
        documented |= {(section[1], key) for key in re.findall(r"(?:`|\] )([a-z_]+)`", cell)}
    assert documented == asked


def test_the_example_of_a_settings_file_is_taken(tmp_path: Path) -> None:
    config = tmp_path / "labplane.toml"
    config.write_text(blocks(PAGES["settings.md"], "toml")[0])
    with running(tmp_path / "projects", "--config", str(config)) as server:
        assert server.http.get("/v1/version").json()["version"] == "1.3.13"
        assert server.http.get("/v1/interfaces").status_code == 404


def test_the_settings_of_plugins_are_all_there() -> None:
    table = rows(PAGES["settings.md"], "## Settings of plugins")
    documented = {(code(plugin), code(key)): json.loads(code(default)) for plugin, key, default, _ in table}
    there: dict[tuple[str, str], Any] = {}
    for candidate in installed():
        if candidate.distribution == "labplane":
            cls = candidate.load()
            assert isinstance(cls, type)
            assert issubclass(cls, labplane.Plugin)
            there |= {(candidate.name, key): schema["default"] for key, schema in cls.settings.items()}
    assert documented == there


SOURCE = TREE / "kernel" / "labplane"


def test_every_package_and_every_plugin_is_on_the_plan() -> None:
    page = PAGES["architecture.md"]
    packages = {f"{path.name}/" for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    files = {path.name for path in SOURCE.glob("*.py") if not path.name.startswith("__")}
    assert {code(row[0]) for row in rows(page, "### The packages of the kernel")} == packages | files
    plugins = {f"plugins/{path.name}/" for path in (TREE / "plugins").iterdir() if path.is_dir()}
    assert {code(row[0]) for row in rows(page, "### The plugins")} == plugins


def test_every_file_of_a_package_or_plugin_is_named_where_the_plan_tells_of_it() -> None:
    page = PAGES["architecture.md"]
    for heading, folder in (("### The packages of the kernel", SOURCE), ("### The plugins", TREE)):
        for name, job in rows(page, heading):
            if not name.endswith("/`") or name == "`testing/`":
                continue
            there = {path.name for path in (folder / code(name)).rglob("*.py")} - {"__init__.py", "plugin.py"}
            assert there <= set(re.findall(r"`(\w+\.py)`", job)), f"{name}: {there}"
            assert set(re.findall(r"`(\w+\.py)`", job)) <= {*there, "plugin.py"}, name


def test_the_layers_of_the_plan_are_those_that_are_checked() -> None:
    (drawn,) = re.findall(r"^`cli` >.*?`errors`$", PAGES["architecture.md"], re.MULTILINE | re.DOTALL)
    linter = tomllib.loads((TREE / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [contract["layers"] for contract in linter["contracts"] if contract["type"] == "layers"]
    assert [re.sub(r"[`\s]", "", layer) for layer in drawn.split(">")] == [
        layer.replace(" ", "") for layer in layers[0]
    ]


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())
    optional = project["project"]["optional-dependencies"]
    dev = [*project["dependency-groups"]["dev"], *project["dependency-groups"]["fuzz"]]
    own = [f"labplane[{extra}]" for extra in optional]
    assert set(own) <= set(dev), "who develops labplane has all that its users may have"
    extras = [requirement for requirements in optional.values() for requirement in requirements]
    needed = [*project["project"]["dependencies"], *extras, *(one for one in dev if one not in own)]
    documented = [code(row[0]) for row in rows(PAGES["architecture.md"], "## Dependencies")]
    assert documented == [re.split("[<>=]", requirement)[0] for requirement in needed]


GENERATED = {"plugins.md", "tutorial.md", "hooks.md", "drivers.md", "settings.md"}
REFERENCE = PAGES["hooks.md"] + PAGES["drivers.md"]


def test_the_generated_pages_are_as_the_source_has_them() -> None:
    """`make docs` writes them anew."""
    assert {name for name, text in PAGES.items() if "[[[cog" in text} == GENERATED
    for command in ("--check", "-r"):
        assert f"cogapp {command} $generated" in (TREE / "run").read_text()
    (listed,) = re.findall(r"^generated='(.*)'$", (TREE / "run").read_text(), re.MULTILINE)
    assert {Path(word).name for word in listed.split() if word.endswith(".md")} == GENERATED
    done = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", *listed.split()],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tutorial_is_the_tested_plugin() -> None:
    """All of its code is tests/thirdparty's, which the suite installs and tests, or that of a plugin of labplane's."""
    echo = TREE / "tests" / "thirdparty" / "labplane-echo"
    module, test, settings, route = blocks(PAGES["plugins.md"], "python")
    assert module == (echo / "labplane_echo.py").read_text()
    assert blocks(PAGES["plugins.md"], "toml") == [(echo / "pyproject.toml").read_text()]
    assert test == (echo / "tests" / "test_echo.py").read_text()
    assert route == (echo / "tests" / "test_count.py").read_text()
    assert settings in (TREE / "plugins" / "vpcs" / "labplane_vpcs" / "__init__.py").read_text()


def test_the_table_of_flavours_is_that_of_new_plugin() -> None:
    table = rows(PAGES["plugins.md"], "## A plugin in three commands")
    assert [code(row[0]) for row in table] == [f"--{flavour}" for flavour in FLAVOURS]
    options = {option for parameter in new_plugin.params for option in parameter.opts}
    assert {"--kind", *(code(row[0]) for row in table)} <= options


def test_the_test_of_the_tutorial_is_the_tested_one() -> None:
    echo = TREE / "tests" / "thirdparty" / "labplane-echo"
    assert blocks(PAGES["testing.md"], "python")[0] == (echo / "tests" / "test_echo.py").read_text()


def test_all_that_an_author_can_say_to_the_kit_or_use_of_it_is_documented() -> None:
    attributes = set(inspect.get_annotations(labplane.testing.DriverTests))
    assert attributes == {code(row[0]) for row in rows(PAGES["testing.md"], "## What you can say")}
    for name in labplane.testing.__all__:
        assert re.search(rf"`{name}\b", PAGES["testing.md"]), name


@pytest.mark.parametrize("name", contract.HOOKS)
def test_every_hook_has_its_heading(name: str) -> None:
    parameters = ", ".join(inspect.signature(getattr(contract.Hooks, name)).parameters)
    assert f"\n### `{name}({parameters})`\n" in PAGES["hooks.md"]


def test_everything_public_is_in_the_reference() -> None:
    assert [name for name in labplane.__all__ if not re.search(rf"`(async )?@?(labplane\.)?{name}\b", REFERENCE)] == []


@pytest.mark.parametrize("cls", [labplane.Driver, labplane.ConsoleDriver, labplane.ProcessDriver])
def test_everything_that_a_driver_can_override_is_in_the_reference(cls: type) -> None:
    section = PAGES["drivers.md"].partition(f"\n## `{cls.__name__}`\n")[2].partition("\n## ")[0]
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if inspect.isfunction(member):
            prefix = "async " if inspect.iscoroutinefunction(member) else ""
            heading = f"\n### `{prefix}{name}({', '.join(inspect.signature(member).parameters)})`\n"
            assert heading in section
        elif isinstance(member, property):
            assert f"\n### `{name}`\n" in section
        else:
            assert re.search(rf"^{name}: ", section, re.MULTILINE)
            assert f"| `{name}` |" in section or hasattr(cls.__base__, name)


@pytest.mark.parametrize(
    "action", [*(action for action in ACTIONS if action not in ("start", "stop")), "connect", "disconnect"]
)
def test_every_method_that_a_driver_need_not_have_is_in_the_reference(action: str) -> None:
    section = PAGES["drivers.md"].partition("\n### Methods that a driver need not have\n")[2].partition("\n##")[0]
    assert f"async def {action}(self, vm: VM" in section


def test_whatever_the_plugins_use_of_the_lab_is_in_the_reference() -> None:
    section = PAGES["drivers.md"].partition("\n## `Lab`\n")[2]
    plugins = [path for path in (TREE / "plugins").rglob("*.py") if "\nfrom labplane import" in path.read_text()]
    sources = [path for path in plugins if "lab." in path.read_text()]
    used = {name for path in sources for name in re.findall(r"(?<!/)\blab\.(?:\w+\.)?(\w+)", path.read_text())}
    assert used > {"project_dir", "at_end", "lease"}
    settings = {"local", "projects_path", "console_host"}
    assert [
        name
        for name in used - settings
        if not re.search(rf"^\| `{name}` |^###.*`(async )?{name}\b", section, re.MULTILINE)
    ] == []


class Session:
    """Types what README types, with the real ids and ports in place of those of the sample."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._real = {
            "http://localhost:8000": server.url,
            **{str(2000 + number): str(server.consoles[0] + number) for number in range(2)},
            **{str(10000 + number): str(server.udp[0] + number) for number in range(2)},
        }

    def real(self, text: str) -> str:
        """`text` as it is in this run."""
        words = sorted(self._real, key=len, reverse=True)
        return re.sub("|".join(re.escape(word) for word in words), lambda found: self._real[found[0]], text)

    def curl(self, command: str, sample: str) -> None:
        done = subprocess.run([*shlex.split(self.real(command)), "-sS"], capture_output=True, text=True, check=True)
        shown: dict[str, Any] = json.loads(sample or "{}")
        for key in {"location", "project_id", "vm_id"} & shown.keys():
            self._real.setdefault(shown[key], json.loads(done.stdout)[key])
        assert done.stdout == self.real(sample).rstrip("\n")

    def telnet(self, command: str, sample: str) -> None:
        port = self.real(command).split()[-1]
        with Viewer(int(port)) as viewer:
            for line in sample.splitlines():
                if line.startswith("VPCS> "):
                    viewer.until(b"VPCS> ")
                    viewer.type(line.removeprefix("VPCS> "))
                else:
                    viewer.until(re.sub(r" time=.*", "", line).encode())


def test_the_session_in_the_readme_is_true(tmp_path: Path) -> None:
    typed = []
    with running(tmp_path / "projects") as server:
        session = Session(server)
        for block in blocks(README, "console"):
            for command, sample in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
                typed.append(command.split()[0])
                {"curl": session.curl, "telnet": session.telnet}[typed[-1]](command, sample)
    assert typed.count("curl") == 10
    assert typed.count("telnet") == 2


def test_the_plugin_in_the_readme_works(tmp_path: Path) -> None:
    site = tmp_path / "site"
    about = tomllib.loads(blocks(README, "toml")[0])
    project = about["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    ((group, points),) = project["entry-points"].items()
    (info / "entry_points.txt").write_text(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
    )
    ((module, _),) = [target.split(":") for target in points.values()]
    (site / f"{module}.py").write_text(blocks(README, "python")[0])
    with running(tmp_path / "projects", "--strict", environment={"PYTHONPATH": str(site)}) as server:
        vm = server.vm(server.project(), kind="python")
        assert server.http.post(f"{vm}/start").status_code == 204
        with Viewer(server.consoles[0]) as viewer:
            viewer.until(b">>> ")
            viewer.type("print('=', 6 * 7)")
            viewer.until(b"= 42")
