"""What becomes of the options and INI files of GNS3: labplane's settings, in the documented order."""

from pathlib import Path
from typing import Any

import platformdirs
import pytest

from labplane.settings import Settings, SettingsError
from labplane_gns3 import command
from labplane_gns3.command import ini_files, read_settings

NO_OPTIONS = {"host": None, "port": None, "local": False, "allow": False, "insecure": False, "log_level": None}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any settings, and a system without them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: tmp_path / ".config" / name)
    monkeypatch.setattr(command, "ini_files", lambda: [path for path in ini_files() if tmp_path in path.parents])
    return tmp_path


def write(home: Path, text: str, name: str = "GNS3/gns3_server.conf") -> Path:
    path = home / ".config" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def settings(config: Path | None = None, environment: dict[str, str] | None = None, **options: Any) -> Settings:
    return read_settings(config, environment or {}, {**NO_OPTIONS, **options})


def test_without_anything_the_defaults_hold() -> None:
    """C-1, C-2: nothing listens on every address unasked."""
    assert settings() == Settings()


def test_each_key_becomes_a_setting(home: Path) -> None:
    write(
        home,
        "[Server]\nhost = 127.0.0.2\nport = 3080\nlocal = True\nprojects_path = ~/GNS3\n"
        "console_start_port_range = 5000\nconsole_end_port_range = 6000\n"
        "udp_start_port_range = 7000\nudp_start_end_range = 8000\n[VPCS]\nvpcs_path = ~/bin/vpcs\n",
    )
    found = settings()
    assert (found.host, found.port, found.local, found.console_host) == ("127.0.0.2", 3080, True, "127.0.0.2")
    assert found.projects_path == home / "GNS3"
    assert (found.console_ports, found.udp_ports) == ("5000-6000", "7000-8000")
    assert found.plugins == {"vpcs": {"program": str(home / "bin" / "vpcs")}}


def test_options_beat_variables_which_beat_the_file_which_beats_labplane_toml(home: Path) -> None:
    write(home, 'port = 1\nhost = "127.0.0.1"\napi_version = "1.3.13"\n', "labplane/labplane.toml")
    assert (settings().port, settings().api_version) == (1, "1.3.13")
    write(home, "[Server]\nport = 2\nhost = 127.0.0.2\nprojects_path = /two\n")
    assert (settings().port, settings().api_version) == (2, "1.3.13")
    variables = {"LABPLANE_PORT": "3", "LABPLANE_PROJECTS_DIR": "/three"}
    found = settings(environment=variables, port=4)
    assert (found.host, found.port, found.projects_dir) == ("127.0.0.2", 4, "/three")
    assert settings(environment=variables).port == 3
    assert settings(environment=variables, port=0).port == 0


def test_labplane_toml_may_be_elsewhere(home: Path) -> None:
    write(home, "port = 5\n[plugins.vpcs]\nprogram = 'a'\n[plugins.other]\nx = 1\n", "lab.toml")
    write(home, "[VPCS]\nvpcs_path = b\n")
    found = settings(environment={"LABPLANE_CONFIG": str(home / ".config" / "lab.toml")})
    assert (found.port, found.plugins) == (5, {"vpcs": {"program": "b"}, "other": {"x": 1}})


def test_the_file_of_the_user_beats_that_of_the_system_and_a_named_one_is_the_only_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gns3server reads the same places, 1.3.13 and 1.5.4 each in another order."""
    assert [str(path) for path in ini_files()] == [
        "/etc/xdg/GNS3.conf",
        "/etc/xdg/GNS3/gns3_server.conf",
        "/etc/gns3/gns3_server.conf",
        f"{home}/.config/GNS3.conf",
        f"{home}/.config/GNS3/gns3_server.conf",
    ]
    write(home, "[Server]\nport = 1\nhost = 127.0.0.2\n", "GNS3.conf")
    mine = write(home, "[Server]\nport = 2\n")
    assert (settings().port, settings().host) == (2, "127.0.0.2")
    assert (settings(mine).port, settings(mine).host) == (2, "127.0.0.1")
    with pytest.raises(SettingsError, match="absent cannot be read"):
        settings(home / "absent")


def test_no_file_of_the_current_directory_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gns3server does so. Here it could name a program to run to whoever happens to stand in that directory."""
    (home / "gns3_server.conf").write_text("[VPCS]\nvpcs_path = ./evil\n")
    monkeypatch.chdir(home)
    assert settings().plugins == {}


@pytest.mark.parametrize(
    ("keys", "ports"),
    [
        ("udp_start_port_range = 15000", "15000-20000"),
        ("udp_start_end_range = 15000", "10000-15000"),
        ("udp_end_port_range = 15000", "10000-15000"),
        ("udp_start_end_range = 16000\nudp_end_port_range = 15000", "10000-15000"),
        ("udp_start_port_range =\nudp_start_end_range =", "10000-20000"),
    ],
)
def test_one_end_of_a_range_may_be_absent_and_the_upper_one_has_two_names(home: Path, keys: str, ports: str) -> None:
    """The desktop program writes udp_start_end_range, gns3server reads udp_end_port_range."""
    write(home, f"[Server]\n{keys}\n")
    assert settings().udp_ports == ports


def test_a_range_that_ends_before_it_begins_is_an_error(home: Path) -> None:
    write(home, "[Server]\nconsole_start_port_range = 6000\n")
    with pytest.raises(SettingsError, match=r"\[Server\] console_start_port_range: the range would be 6000-5000"):
        settings()


@pytest.mark.parametrize(
    ("host", "allow", "consoles"),
    [
        (None, False, "127.0.0.1"),
        (None, True, "0.0.0.0"),
        ("127.0.0.1", False, "127.0.0.1"),
        ("localhost", False, "127.0.0.1"),
        ("lab.example", False, "127.0.0.1"),
        ("lab.example", True, "0.0.0.0"),
        ("192.0.2.1", False, "127.0.0.1"),
        ("192.0.2.1", True, "0.0.0.0"),
        ("0.0.0.0", False, "127.0.0.1"),
        ("0.0.0.0", True, "0.0.0.0"),
        ("::1", False, "::1"),
        ("::", False, "127.0.0.1"),
        ("::1", True, "::"),
    ],
)
def test_consoles_listen_where_the_server_does_and_everywhere_only_if_told(
    home: Path, host: str | None, allow: bool, consoles: str
) -> None:
    """B-14."""
    assert settings(host=host, allow=allow).console_host == consoles
    write(home, f"[Server]\nallow_remote_console = {allow}\n")
    assert settings(host=host).console_host == consoles


def test_the_password_of_the_file_is_the_token_and_its_certificate_that_of_tls(home: Path) -> None:
    """T-14: 1.5.4 wants authentication by default, of a server of its own at 127.0.0.1."""
    write(home, "[Server]\nauth = True\nuser = u\npassword = secret\nssl = True\ncertfile = /a.pem\ncertkey = /b.pem\n")
    found = settings()
    assert (found.auth, found.token) == ("token", "secret")
    assert (found.certfile, found.keyfile) == ("/a.pem", "/b.pem")
    write(home, "[Server]\nauth = False\nuser = u\npassword = secret\nssl = False\ncertfile = /a.pem\n")
    assert settings() == Settings()


@pytest.mark.parametrize(("key", "missing"), [("auth", "password"), ("ssl", "certfile")])
def test_what_they_need_is_asked_for(home: Path, key: str, missing: str) -> None:
    write(home, f"[Server]\n{key} = True\n")
    with pytest.raises(SettingsError, match=rf"\[Server\] {key}: there is no {missing} below; set one"):
        settings()
