"""What a server logs and reports of its plugins: each call of a hook, on request, and what they use that will go."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fragile import Cat
from inprocess import PROJECTS, offering, settings
from labplane import NotFound, Plugin, Route, Schema, hook
from labplane.cli import main
from labplane.kernel import Kernel
from labplane.plugins import files
from labplane.plugins.contract import Hooks
from labplane.plugins.loading import Candidate
from support import running

ID = "00000000-0000-0000-0000-00000000000a"


class Old(Plugin):
    """Implements two hooks of which something is to go."""

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return {"Old": {}, "Older": {}}

    @hook
    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/v1/old", lambda _: None)

    @hook
    def project_dir(self, project_id: str) -> Path | None:
        if project_id != ID:
            raise OSError("worn out")
        return Path("/")


OLD = Candidate("old", lambda: Old, "labplane-old", "0.2")


@pytest.fixture
def deprecated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract with plugins in which a hook, and an argument of another, are about to go."""
    routes, project_dir = (getattr(Hooks, name).labplane_spec for name in ("routes", "project_dir"))
    monkeypatch.setitem(routes, "warn_on_impl", DeprecationWarning("routes() goes with labplane 3; use paths()"))
    warning = DeprecationWarning("project_dir() gets no project_id after labplane 2; use id")
    monkeypatch.setitem(project_dir, "warn_on_impl_args", {"project_id": warning})


@pytest.mark.usefixtures("deprecated")
def test_a_plugin_that_uses_what_will_go_works_and_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In its report and in the log, and not as a Python warning, which would be an error here."""
    lab = Kernel(settings(tmp_path), [OLD])
    [report] = lab.plugins.reports
    assert (report.state, report.routes) == ("active", ["GET /v1/old"])
    assert lab.project_dir(ID) == Path("/")
    assert sorted(report.warnings) == [
        "project_dir() gets no project_id after labplane 2; use id",
        "routes() goes with labplane 3; use paths()",
    ]
    assert sorted(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING) == [
        f"plugin old (labplane-old 0.2): {warning}" for warning in sorted(report.warnings)
    ]


@pytest.mark.usefixtures("deprecated")
def test_one_that_uses_nothing_of_it_is_not_warned_of(tmp_path: Path) -> None:
    lab = Kernel(settings(tmp_path), [offering(Cat)])
    assert [report.warnings for report in lab.plugins.reports] == [[]]


@pytest.fixture
def unmuted() -> Iterator[None]:
    """`labplane plugins` switches logging off for its process, which here is the tests'."""
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("deprecated", "unmuted")
def test_labplane_plugins_lists_the_warnings_and_is_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "installed", lambda: [OLD])
    listed = CliRunner().invoke(main, ["plugins", "--config", "/dev/null"])
    assert listed.exit_code == 0
    assert "old: active (labplane-old 0.2)\n" in listed.output
    assert "    routes() goes with labplane 3; use paths()\n" in listed.output
    as_json = json.loads(CliRunner().invoke(main, ["plugins", "--config", "/dev/null", "--json"]).output)
    assert "project_dir() gets no project_id after labplane 2; use id" in as_json[0]["warnings"]


def traces(records: Iterable[str]) -> list[str]:
    return [record.partition("trace: ")[2] for record in records if "trace: " in record]


def test_traces_name_hook_arguments_plugins_and_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "labplane")
    lab = Kernel(settings(tmp_path, trace_plugins=True), [offering(Cat), OLD])
    assert lab.project_dir(ID) == Path("/")
    with pytest.raises(OSError, match="worn out"):
        lab.project_dir("b")
    said = traces(record.getMessage() for record in caplog.records)
    assert said[:4] == [
        "drivers() asks testing",
        "drivers() of testing gave cat",
        "schemas() asks old",
        "schemas() of old gave Old, Older",
    ]
    assert said[4] == "routes() asks old"
    assert said[-4:] == [
        f"project_dir(project_id='{ID}') asks old",
        f"project_dir(project_id='{ID}') of old gave PosixPath('/')",
        "project_dir(project_id='b') asks old",
        "project_dir(project_id='b') of old raised OSError('worn out')",
    ]


def test_traces_are_short_whatever_a_hook_gives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Many(Plugin):
        @hook
        def routes(self) -> list[Route]:
            return [Route("GET", f"/v1/many/{number}", lambda _: None) for number in range(100)]

        @hook
        def schemas(self) -> Mapping[str, Any]:
            return {}

    caplog.set_level("INFO", "labplane")
    Kernel(settings(tmp_path, trace_plugins=True), [Candidate("many", lambda: Many)])
    said = traces(record.getMessage() for record in caplog.records)
    [routes] = [one for one in said if one.startswith("routes() of many gave GET /v1/many/0, GET /v1/many/1, ")]
    assert len(routes) < 250
    assert routes.endswith(" …")
    assert "schemas() of many gave nothing" in said


def test_nothing_is_traced_unasked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "labplane")
    lab = Kernel(settings(tmp_path), [PROJECTS])
    with pytest.raises(NotFound):
        lab.project_dir(ID)
    assert traces(record.getMessage() for record in caplog.records) == []


def test_a_variable_makes_a_server_trace_its_plugins(tmp_path: Path) -> None:
    with running(tmp_path / "projects", environment={"LABPLANE_TRACE_PLUGINS": "1"}) as server:
        project = server.project()
        assert server.http.get(project).status_code == 200
        said = traces(server.log.splitlines())
    assert "drivers() of vpcs gave vpcs" in said
    project_id = project.rpartition("/")[2]
    assert f"project_dir(project_id='{project_id}') asks projects [127.0.0.1]" in said
    assert any(one.startswith(f"project_dir(project_id='{project_id}') of projects gave PosixPath('/") for one in said)
