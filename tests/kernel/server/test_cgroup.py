"""What is told at start of a cgroup that would be killed with the server. systemd is played by a program of ours."""

from pathlib import Path

import pytest

from labplane.server.cgroup import ends_with_us


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that answers with the content of `mode` and writes down its arguments in `asked`."""
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\nd=$(dirname "$0"); echo "$@" >"$d/asked"; cat "$d/mode"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def told(at: Path, cgroups: str, mode: str = "control-group") -> str | None:
    (at / "cgroup").write_text(cgroups)
    (at / "mode").write_text(f"{mode}\n")
    return ends_with_us(at / "cgroup", [str(at / "mark")])


@pytest.mark.parametrize("mode", ["control-group", "mixed"])
def test_a_service_that_would_be_killed_as_a_whole_is_told_with_what_to_do(mode: str, systemctl: Path) -> None:
    sentence = told(systemctl, "0::/system.slice/labplane.service\n", mode)
    assert sentence is not None
    assert f"labplane.service has KillMode={mode}" in sentence
    assert "KillMode=process" in sentence
    assert (systemctl / "asked").read_text() == "show --property=KillMode --value labplane.service\n"


@pytest.mark.parametrize("mode", ["process", "none", ""])
def test_nothing_is_told_when_only_the_server_is_ended(mode: str, systemctl: Path) -> None:
    assert told(systemctl, "0::/system.slice/labplane.service\n", mode) is None


def test_the_manager_of_a_user_is_asked_for_a_users_service(systemctl: Path) -> None:
    slices = "/user.slice/user-1000.slice/user@1000.service/app.slice/lab.service"
    assert told(systemctl, f"12:cpu:/\n1:name=systemd:{slices}\n") is not None
    assert (systemctl / "asked").read_text() == "--user show --property=KillMode --value lab.service\n"


@pytest.mark.parametrize(
    "cgroups",
    ["0::/\n", "0::/user.slice/user-0.slice/session-1.scope\n", "0::/user.slice/user@1.service/run-1.scope\n", ""],
)
def test_nobody_is_asked_where_there_is_no_service(cgroups: str, systemctl: Path) -> None:
    assert told(systemctl, cgroups) is None
    assert not (systemctl / "asked").exists()


def test_a_container_is_told_of(systemctl: Path) -> None:
    (systemctl / "mark").touch()
    sentence = told(systemctl, "0::/\n")
    assert sentence is not None
    assert "container" in sentence


def test_where_there_is_no_systemd_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert told(tmp_path, "0::/system.slice/labplane.service\n") is None
    assert ends_with_us(tmp_path / "missing", []) is None
