"""One-file plugins: what a directory offers, and that a bad file hurts nobody but itself."""

from pathlib import Path

import pytest

from inprocess import PROJECTS, settings
from labplane.kernel import Kernel
from labplane.plugins.files import available, plugin_files
from labplane.plugins.loading import Candidate, installed
from labplane.reports import Report
from labplane.settings import Settings, SettingsError
from support import running

HELLO = """
from dataclasses import dataclass
from labplane import Plugin, Route, hook

@dataclass
class Greeting:
    text: "str"

class _Base(Plugin):
    pass

class Hello(_Base):
    @hook
    def routes(self):
        return [Route("GET", "/v1/hello", lambda _: {"text": Greeting("hello").text})]

Alias = Hello
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    return folder


def names(candidates: list[Candidate]) -> list[str]:
    return [candidate.name for candidate in candidates]


def loaded(tmp_path: Path, folder: Path) -> dict[str, Report]:
    lab = Kernel(settings(tmp_path), [PROJECTS, *plugin_files(folder)])
    return {report.name: report for report in lab.plugins.reports if report.name != "projects"}


def test_each_file_is_a_plugin_served_like_any_other(tmp_path: Path, folder: Path) -> None:
    (folder / "hello.py").write_text(HELLO)
    (folder / "bad.py").write_text("import missing_from_here")
    with running(tmp_path / "projects", "--plugins-dir", str(folder)) as server:
        assert server.http.get("/v1/hello").json() == {"text": "hello"}
        reports = {report["name"]: report for report in server.http.get("/v1/plugins").json()}
    assert (reports["hello"]["state"], reports["hello"]["distribution"]) == ("active", str(folder / "hello.py"))
    assert reports["bad"]["error"] == "ModuleNotFoundError: No module named 'missing_from_here'"
    assert f"plugin bad of {folder / 'bad.py'} is left out: ModuleNotFoundError" in server.log


def test_they_come_after_the_installed_ones_in_order_of_name(folder: Path) -> None:
    for name in ("b.py", "a.py", "_helper.py", ".hidden.py", "notes.txt"):
        (folder / name).write_text(HELLO)
    (folder / "deeper").mkdir()
    (folder / "deeper" / "c.py").write_text(HELLO)
    assert names(available(Settings(plugins_dir=str(folder)))) == [*names(installed()), "a", "b"]


def test_without_the_setting_no_file_is_a_plugin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above all not those in the directory that the server happens to be started in."""
    (folder / "hello.py").write_text(HELLO)
    monkeypatch.chdir(folder)
    assert names(available(Settings())) == names(installed())


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "one file is one plugin: it must define one subclass of labplane.Plugin; here: none"),
        (HELLO + "\nclass Other(Plugin): pass\n", "one subclass of labplane.Plugin; here: Hello, Other"),
        ("from labplane import Plugin", "here: none"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_a_bad_file_is_left_out_with_its_cause(text: str, cause: str, tmp_path: Path, folder: Path) -> None:
    (folder / "bad.py").write_text(text)
    (folder / "hello.py").write_text(HELLO)
    reports = loaded(tmp_path, folder)
    assert reports["bad"].state == "failed"
    assert cause in str(reports["bad"].error)
    assert reports["hello"].state == "active"


def test_of_two_with_one_name_the_installed_one_wins(tmp_path: Path, folder: Path) -> None:
    (folder / "projects.py").write_text(HELLO)
    lab = Kernel(settings(tmp_path), [PROJECTS, *plugin_files(folder)])
    assert lab.plugins.reports[-1].error == "the name 'projects' is taken by labplane 1"


def test_a_disabled_file_is_not_even_run(tmp_path: Path, folder: Path) -> None:
    (folder / "trace.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    lab = Kernel(settings(tmp_path, disabled=("trace",)), [PROJECTS, *plugin_files(folder)])
    assert lab.plugins.reports[-1].state == "disabled"
    assert not (tmp_path / "trace").exists()


def test_a_directory_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'plugins_dir': .*absent cannot be read: No such file or directory"):
        plugin_files(tmp_path / "absent")
