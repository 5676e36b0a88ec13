"""Taking plugins in: whole or not at all, with a report that names the culprit, and never at the others' expense."""

import asyncio
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from broken import CAUSES, FOLDER, VERSION, entry_points
from inprocess import PROJECTS, own, settings
from labplane import VM, Driver, Lab, NotFound, Plugin, Route, Schema, hook
from labplane.kernel import Kernel
from labplane.plugins.loading import API, Candidate, PluginError, _candidate, installed
from labplane.reports import Report
from labplane.settings import SettingsError

BAD_CONFIG = {"bad-config": {"colour": "green"}}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Candidate]]:
    """The plugins of labplane-broken, by name, as if it were installed."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield {
        point.name: Candidate(point.name, point.load, "labplane-broken", VERSION, point.group)
        for point in entry_points()
    }
    for module in [name for name in sys.modules if name.startswith("labplane_broken")]:
        del sys.modules[module]


class Last(Plugin):
    """A plugin that works and comes after the broken one."""

    @hook
    def routes(self) -> Iterable[Route]:
        return [Route("GET", "/v1/last", self.answer)]

    async def answer(self, _: object) -> Any:
        return {}


LAST = Candidate("last", lambda: Last, "labplane-zzz", "1")


def state(lab: Kernel) -> tuple[object, ...]:
    """All that a plugin can leave behind in a lab."""
    manager = lab.plugins._manager
    hooked = {name: len(getattr(manager.hook, name).get_hookimpls()) for name in vars(manager.hook)}
    return (
        sorted(lab.schemas.named),
        sorted(f"{route.method} {route.path}" for route in lab.routes.routes),
        sorted(lab.drivers),
        sorted(name for name, _ in manager.list_name_plugin()),
        sorted(lab.plugins.config_schemas),
        len(lab._starters),
        len(lab._enders),
        hooked,
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The state of a lab to which nothing broken was offered."""
    return state(Kernel(settings(tmp_path_factory.mktemp("sound")), [*own(), LAST]))


def make(plugin: type, name: str = "mine", **more: Any) -> Candidate:
    return Candidate(name, lambda: plugin, "labplane-mine", "0.3", **more)


def report_of(lab: Kernel, name: str) -> Report:
    return next(report for report in reversed(lab.plugins.reports) if report.name == name)


@pytest.mark.parametrize("name", CAUSES)
def test_a_broken_plugin_is_left_out_whole_and_reported_with_its_cause(
    name: str, broken: dict[str, Candidate], sound: object, tmp_path: Path
) -> None:
    given = BAD_CONFIG if name == "bad-config" else {}
    lab = Kernel(settings(tmp_path, plugins=given), [*own(), broken[name], LAST])
    report = report_of(lab, name)
    assert (report.state, report.distribution, report.version) == ("failed", "labplane-broken", VERSION)
    assert CAUSES[name] in (report.error or "")
    assert report.hooks == report.kinds == report.routes == []
    assert report_of(lab, "last").state == "active"
    assert state(lab) == sound


@pytest.mark.parametrize("name", CAUSES)
def test_with_strict_a_broken_plugin_stops_the_lab_with_a_sentence_that_names_it(
    name: str, broken: dict[str, Candidate], tmp_path: Path
) -> None:
    given = BAD_CONFIG if name == "bad-config" else {}
    with pytest.raises(PluginError) as caught:
        Kernel(settings(tmp_path, plugins=given, strict=True), [*own(), broken[name], LAST])
    assert str(caught.value).startswith(f"{name} of labplane-broken {VERSION}: ")
    assert CAUSES[name] in str(caught.value)


def test_all_broken_plugins_together_leave_the_others_whole(
    broken: dict[str, Candidate], sound: object, tmp_path: Path
) -> None:
    candidates = [*own(), *(broken[name] for name in CAUSES), LAST]
    lab = Kernel(settings(tmp_path, plugins=BAD_CONFIG), candidates)
    assert {report.name for report in lab.plugins.reports if report.state == "failed"} == set(CAUSES)
    assert state(lab) == sound


def test_a_plugin_that_was_left_out_is_called_neither_at_the_start_nor_at_the_end(
    broken: dict[str, Candidate], tmp_path: Path
) -> None:
    lab = Kernel(settings(tmp_path), [PROJECTS, broken["bad-method"]])

    async def live() -> None:
        await lab.start()
        with pytest.raises(NotFound, match="no open project"):
            lab.project_dir("0" * 36)
        await lab.end()

    asyncio.run(live())


@pytest.mark.parametrize("name", ["disabled", "future"])
def test_what_is_disabled_or_for_another_api_version_is_listed_and_never_imported(
    name: str, broken: dict[str, Candidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv("TRACE_OF_IMPORT", str(trace))
    disabled = ("disabled",) if name == "disabled" else ()
    lab = Kernel(settings(tmp_path, disabled=disabled, strict=True), [*own(), broken[name]])
    report = report_of(lab, name)
    if name == "disabled":
        assert (report.state, report.error) == ("disabled", None)
    else:
        assert report.state == "other API version"
        assert report.error == f"made for labplane.v2; this labplane has {API}"
    assert not trace.exists()
    assert "labplane_broken.never" not in sys.modules


def test_ctrl_c_while_a_plugin_is_imported_ends_the_start(tmp_path: Path) -> None:
    def interrupted() -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Kernel(settings(tmp_path), [Candidate("slow", interrupted)])


class Nothing(Driver):
    kind = "nothing"

    async def start(self, vm: VM) -> None:
        pass

    async def stop(self, vm: VM) -> None:
        pass


def test_hooks_may_be_generators(tmp_path: Path) -> None:
    class Generous(Plugin):
        @hook
        def drivers(self) -> Iterable[Driver]:
            yield Nothing(self.lab)

        @hook
        def routes(self) -> Iterable[Route]:
            yield Route("GET", "/v1/generous", self.answer)

        async def answer(self, _: object) -> Any:
            return {}

    lab = Kernel(settings(tmp_path, strict=True), [make(Generous)])
    report = report_of(lab, "mine")
    assert report.kinds == ["nothing"]
    assert report.routes == ["GET /v1/generous"]
    assert report.hooks == ["drivers", "routes"]
    assert "NothingCreate" in lab.schemas.named


def test_a_plugin_without_hooks_is_fine(tmp_path: Path) -> None:
    class Quiet(Plugin):
        pass

    lab = Kernel(settings(tmp_path), [make(Quiet)])
    assert report_of(lab, "mine").state == "active"


def test_the_name_of_a_plugin_that_failed_is_still_to_be_had(broken: dict[str, Candidate], tmp_path: Path) -> None:
    """And a third one is told who really has it, which is not the one that failed."""
    broken_mine = Candidate("mine", broken["constructor"].load, "labplane-broken", VERSION)
    third = Candidate("mine", lambda: Last, "labplane-zzz", "1")
    lab = Kernel(settings(tmp_path), [broken_mine, make(Last), third])
    assert [report.state for report in lab.plugins.reports] == ["failed", "active", "failed"]
    assert lab.plugins.reports[2].error == "the name 'mine' is taken by labplane-mine 0.3"


def test_an_exception_without_text_is_reported_by_its_name(tmp_path: Path) -> None:
    class Silent(Plugin):
        def __init__(self, *_: object) -> None:
            raise AssertionError

    lab = Kernel(settings(tmp_path), [make(Silent)])
    assert report_of(lab, "mine").error == "AssertionError"


class Tuned(Plugin):
    settings: ClassVar[Mapping[str, Schema]] = {
        "colour": {"enum": ["red", "blue"], "default": "red"},
        "size": {"type": "integer"},
    }


def test_a_plugin_gets_its_settings_with_defaults_and_sees_a_reload_of_them(tmp_path: Path) -> None:
    got: list[Mapping[str, Any]] = []

    class Mine(Tuned):
        def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
            super().__init__(lab, config)
            got.append(self.config)

    lab = Kernel(settings(tmp_path, plugins={"mine": {"size": 3}}), [make(Mine)])
    assert dict(got[0]) == {"colour": "red", "size": 3}
    lab.plugins.reconfigure({"mine": {"colour": "blue"}})
    assert dict(got[0]) == {"colour": "blue"}
    with pytest.raises(TypeError):
        got[0]["colour"] = "green"  # type: ignore[index]


def test_a_reload_with_bad_settings_for_one_plugin_changes_none(tmp_path: Path) -> None:
    plugins = [make(Tuned, "one"), make(Tuned, "two")]
    lab = Kernel(settings(tmp_path, source="lab.toml"), plugins)
    with pytest.raises(PluginError, match=r"\[plugins.two\] in lab.toml: 'size' must be of type integer, not string"):
        lab.plugins.reconfigure({"one": {"colour": "blue"}, "two": {"size": "large"}})
    assert lab.plugins._configs["one"] == {"colour": "red"}


def test_two_labs_in_one_process_have_plugins_of_their_own(tmp_path: Path) -> None:
    made: list[Plugin] = []

    class Mine(Last):
        def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
            super().__init__(lab, config)
            made.append(self)

    one, two = (Kernel(settings(tmp_path), [make(Mine)]) for _ in range(2))
    assert [plugin.lab for plugin in made] == [one, two]


@pytest.mark.parametrize("values", [{"disabled": ("vcps",)}, {"plugins": {"vcps": {}}}], ids=["disabled", "plugins"])
def test_settings_that_name_no_plugin_are_refused(values: dict[str, Any], tmp_path: Path) -> None:
    key = next(iter(values))
    with pytest.raises(SettingsError, match=f"lab.toml: '{key}' names 'vcps', which is no installed .*: projects"):
        Kernel(settings(tmp_path, source="lab.toml", **values), [PROJECTS])


def test_labplanes_own_plugins_come_first_then_by_distribution_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed()
    assert {"projects", "ports", "server", "vpcs"} <= {one.name for one in found if one.distribution == "labplane"}
    assert found == sorted(found, key=lambda one: (one.distribution != "labplane", one.distribution, one.name))
    assert all(one.source.startswith(one.distribution) for one in found)


def test_an_entry_point_without_a_distribution_is_a_candidate_all_the_same() -> None:
    candidate = _candidate(EntryPoint("mine", "labplane:Plugin", API))
    assert (candidate.name, candidate.distribution, candidate.load()) == ("mine", "unknown", Plugin)


def test_what_takes_long_to_import_is_not_needed_by_a_server_that_starts(tmp_path: Path) -> None:
    """Every start would take longer, that of each command's background server too."""
    program = f"""
import sys
from labplane.kernel import Kernel
from labplane.plugins.files import available
from labplane.server import serving
from labplane.settings import Settings
settings = Settings(projects_dir={str(tmp_path)!r})
lab = Kernel(settings, available(settings))
assert len(lab.kinds) > 1
print(sorted({{"jsonschema", "referencing", "telnetlib3", "prometheus_client", "rich"}} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"
