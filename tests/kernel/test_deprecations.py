"""What a plugin is told that implements a hook, or names an argument, that will go with the next plugin API."""

import logging
from pathlib import Path
from typing import Any

import pluggy
import pytest

from inprocess import PROJECTS, settings
from labplane import Lab, Plugin, hook, plugins
from labplane.hookspecs import HOOKS, NAMESPACE, Hooks
from labplane.plugins import Candidate

HOOK_GOES = "the hook banners goes with labplane.v2; use schemas"
ARGUMENT_GOES = "the argument colour of themes goes with labplane.v2; leave it out"
specified = pluggy.HookspecMarker(NAMESPACE)


class Older:
    """Hooks of the same API version, from before something was deprecated."""

    @specified(warn_on_impl=DeprecationWarning(HOOK_GOES))
    def banners(self) -> list[str]:
        return []

    @specified(warn_on_impl_args={"colour": DeprecationWarning(ARGUMENT_GOES)})
    def themes(self, name: str, colour: str) -> str:
        return f"{name} {colour}"


class Old(Plugin):
    @hook
    def banners(self) -> list[str]:
        return ["welcome"]

    @hook
    def themes(self, colour: str) -> str:
        return colour


class New(Plugin):
    @hook
    def themes(self, name: str) -> str:
        return name


@pytest.fixture(autouse=True)
def older(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name: member for name, member in vars(Older).items() if not name.startswith("_")}
    monkeypatch.setattr(plugins, "Hooks", type("Hooks", (), {**vars(Hooks), **names}))
    monkeypatch.setattr(plugins, "HOOKS", (*HOOKS, *names))


def lab(tmp_path: Path, cls: type[Plugin], **values: Any) -> Lab:
    return Lab(settings(tmp_path, **values), [PROJECTS, Candidate("some", lambda: cls, "labplane-some", "0.7")])


def test_both_warn_in_the_report_and_the_log_and_the_plugin_works_as_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = lab(tmp_path, Old, strict=True)
    report = made.plugins.reports[-1]
    assert (report.state, report.error) == ("active", None)
    assert sorted(report.warnings) == sorted([HOOK_GOES, ARGUMENT_GOES])
    logged = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in logged] == [
        f"plugin some (labplane-some 0.7): {sentence}" for sentence in report.warnings
    ]
    assert made.plugins.hook.banners() == [["welcome"]]
    assert made.plugins.hook.themes(name="dusk", colour="red") == ["red"]


def test_who_does_not_name_the_argument_is_not_warned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = lab(tmp_path, New)
    assert made.plugins.reports[-1].warnings == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert made.plugins.hook.themes(name="dusk", colour="red") == ["dusk"]


def test_tracing_names_the_plugin_whose_hook_is_called(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    made = lab(tmp_path, New, trace_plugins=True)
    made.plugins.hook.themes(name="dusk", colour="red")
    traced = [record.getMessage() for record in caplog.records if record.getMessage().startswith("trace: themes")]
    assert traced == ["trace: themes(name='dusk', colour='red') asks some", "trace: themes of some: ['dusk']"]
