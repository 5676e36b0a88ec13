"""The command line: what it prints, and with which code it ends."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inprocess import own
from labplane import Plugin
from labplane.cli import main
from labplane.plugins import files
from labplane.plugins.loading import Candidate
from labplane.settings import SETTINGS, Settings
from support import running


class Bad(Plugin):
    def __init__(self, *_: object) -> None:
        raise OSError("no licence")


BAD = Candidate("bad", lambda: Bad, "labplane-bad", "0.9")


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Candidate]]:
    """The plugins that are installed, for the test to change."""
    offered = own()
    monkeypatch.setattr(files, "installed", lambda: offered)
    yield offered
    logging.disable(logging.NOTSET)


def run(*arguments: str, **environment: str) -> Result:
    plain = {name: None for name in os.environ if name.startswith("LABPLANE_")}
    return CliRunner().invoke(main, arguments, env={**plain, "XDG_CONFIG_HOME": "/nonexistent", **environment})


def test_plugins_lists_each_with_what_it_brings(offered: list[Candidate]) -> None:
    result = run("plugins")
    assert result.exit_code == 0
    assert "vpcs: active (labplane 1." in result.output
    assert "    kinds: vpcs\n    hooks: drivers\n" in result.output
    assert "    POST /v1/ports/udp\n" in result.output


@pytest.mark.parametrize("strict", ["true", "false"])
def test_plugins_lists_also_what_failed_and_then_fails_itself(strict: str, offered: list[Candidate]) -> None:
    """Above all when the settings are strict: then the server does not start, and this command says why."""
    offered.append(BAD)
    result = run("plugins", LABPLANE_STRICT=strict)
    assert result.exit_code == 1
    assert "bad: failed (labplane-bad 0.9)\n    OSError: no licence\n" in result.output
    assert "vpcs: active" in result.output


def test_plugins_as_json_is_what_the_server_answers(offered: list[Candidate]) -> None:
    offered.append(BAD)
    result = run("plugins", "--json")
    reports = {report["name"]: report for report in json.loads(result.output)}
    assert reports["bad"]["error"] == "OSError: no licence"
    assert reports["vpcs"].keys() == {
        "name", "state", "distribution", "version", "api", "hooks", "kinds", "survives", "routes", "error",
        "warnings", "faults", "last_fault", "unconfined",
    }  # fmt: skip


def test_openapi_prints_what_the_server_answers(tmp_path: Path) -> None:
    """Third parties' routes and drivers included."""
    (tmp_path / "plugins").mkdir()
    route = "Route('GET', '/v1/mine', lambda _: {}, summary='Mine')"
    plugin = f"class Mine(Plugin):\n    @hook\n    def routes(self):\n        return [{route}]\n"
    (tmp_path / "plugins" / "mine.py").write_text(f"from labplane import Plugin, Route, hook\n\n{plugin}")
    options = ["--plugins-dir", str(tmp_path / "plugins")]
    printed = subprocess.run(
        [sys.executable, "-m", "labplane", "openapi", *options], capture_output=True, text=True, check=True
    )
    assert '"/v1/mine"' in printed.stdout
    with running(tmp_path / "projects", *options) as server:
        assert json.loads(printed.stdout) == server.http.get("/v1/openapi.json").json()


@pytest.mark.parametrize("command", ["plugins", "openapi", "serve"])
def test_bad_settings_are_one_sentence(command: str, offered: list[Candidate], tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("prot = 1")
    result = run(command, "--config", str(tmp_path / "lab.toml"))
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {tmp_path}/lab.toml: unknown key 'prot'; allowed are host, port")
    assert run(command, LABPLANE_CONFIG=str(tmp_path / "lab.toml")).output == result.output


def test_serve_with_strict_names_the_plugin_that_fails(offered: list[Candidate], tmp_path: Path) -> None:
    offered.append(BAD)
    result = run("serve", "--strict", "--port", "0", "--projects-dir", str(tmp_path))
    assert (result.exit_code, result.output.splitlines()[-1]) == (
        1,
        "Error: bad of labplane-bad 0.9: OSError: no licence",
    )


def test_serve_has_the_options_that_the_table_of_settings_says() -> None:
    options: dict[str | None, set[str]] = {}
    for parameter in main.commands["serve"].params:
        options.setdefault(parameter.name, set()).update(parameter.opts, parameter.secondary_opts)
    assert options.pop("config") == {"--config"}
    options["on_exit"].remove("--keep")  # the same as --on-exit keep
    assert options == {name: set(row.option.split(" ")[0].split("/")) for name, row in SETTINGS.items() if row.option}


def test_each_option_has_the_value_that_its_setting_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One option of each kind, all at once; those that are not given leave the file and the variables alone."""
    seen: list[Settings] = []
    monkeypatch.setattr("labplane.server.serving.serve", lambda read: seen.append(read()))
    given = "--port 81 --host ::1 --auth token --local --secure --allow-host a --allow-host b --only-plugins a,b,"
    assert run("serve", *given.split(), LABPLANE_UDP_PORTS="7-8", LABPLANE_INSECURE="1").exit_code == 0
    (settings,) = seen
    assert (settings.port, settings.host, settings.auth, settings.local) == (81, "::1", "token", True)
    assert (settings.insecure, settings.allow_hosts, settings.only_plugins) == (False, ("a", "b"), ("a", "b"))
    assert (settings.udp_ports, settings.console_ports, settings.strict) == ("7-8", "2000-5000", False)


def test_the_help_of_an_option_says_what_it_is_for_and_its_default() -> None:
    help_text = " ".join(run("serve", "--help", COLUMNS="400").output.split())
    assert "--port INTEGER TCP port for HTTP, 0 for any free one [default: 8000]" in help_text
    assert "--auth [off|token] Whether clients need the token [default: off]" in help_text
    assert "--allow-host TEXT Further names of this server; may be given again --projects-dir" in help_text
    assert "where the token is kept; made when missing [default: in the user's data directory]" in help_text.lower()


def test_an_address_that_is_taken_is_one_sentence_and_touches_nothing(offered: list[Candidate], tmp_path: Path) -> None:
    """C-5."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("serve", "--port", str(port), "--projects-dir", str(tmp_path / "projects"))
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another" in result.output
    assert not (tmp_path / "projects").exists()


def test_a_host_that_does_not_exist_is_one_sentence(offered: list[Candidate]) -> None:
    result = run("serve", "--host", "no.such.host.invalid", "--port", "0", "--insecure")
    assert result.exit_code == 1
    assert "cannot listen on no.such.host.invalid port 0: " in result.output


def test_help_and_version() -> None:
    assert "serve" in run("-h").output
    assert "--udp-ports A-B" in run("serve", "--help").output
    assert "version 1." in run("--version").output


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "labplane", "--version"], capture_output=True, text=True, check=True)
    assert "labplane, version 1." in done.stdout


@pytest.mark.parametrize("below", ["", "/x", "/x/y"])
def test_a_server_whose_start_fails_says_why_in_one_sentence(below: str, tmp_path: Path) -> None:
    """The projects directory is a file, or below one."""
    (tmp_path / "file").write_text("")
    place = f"{tmp_path}/file{below}"
    command = [sys.executable, "-m", "labplane", "serve", "--port", "0", "--projects-dir", place]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: The server cannot start: {place} cannot be the projects directory: ")
    assert last.endswith("; set projects_dir to another.")


NO_HOME = """
import os, pwd, sys
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
sys.argv[0] = "labplane"
from labplane.cli import main
main()
"""


def without_a_home(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user whom the system does not know and who has no HOME."""
    mine = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in mine}
    command = [sys.executable, "-c", NO_HOME, *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("command", ["", *main.commands])
def test_each_command_has_help_for_a_user_without_a_home(command: str, tmp_path: Path) -> None:
    done = without_a_home(*filter(None, [command]), "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: labplane")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--port", "0"], "projects_dir"),
        (["--port", "0", "--auth", "token", "--projects-dir", "/dev/null/x"], "token_file"),
        (["--uds", "~/x"], "uds"),
        (["--port", "0", "--plugins-dir", "~/x"], "plugins_dir"),
    ],
)
def test_serve_without_a_home_says_which_setting_needs_one(arguments: list[str], name: str, tmp_path: Path) -> None:
    done = without_a_home("serve", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"Error: '{name}': the home directory in ~/")
    assert told.endswith("is not known; give an absolute path, or set HOME")


@pytest.mark.parametrize("command", ["openapi", "plugins", "new-plugin"])
def test_commands_that_need_no_home_work_without(command: str, tmp_path: Path) -> None:
    names = ["labplane-thing"] if command == "new-plugin" else []
    done = without_a_home(command, *names, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert done.stdout


def test_the_log_level_and_the_access_log_are_settings(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--access-log", "--log-level", "info") as server:
        server.http.get("/v1/version")
        server.stop()
        assert '"GET /v1/version HTTP/1.1" 200' in server.log


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("localhost", "127.0.0.1")])
def test_the_address_is_announced_as_a_client_needs_it(host: str, shown: str, tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--host", host) as server:
        assert server.url.startswith((f"http://{shown}:", "http://[::1]:"))
        assert server.http.get("/v1/version").headers["server"].startswith("labplane/1.")
