"""Settings: defaults, file, variables, command line; and sentences for all that can be wrong in them."""

from pathlib import Path
from typing import Any

import platformdirs
import pytest
from hypothesis import given, strategies as st

from labplane.server.configuration import read, variables
from labplane.settings import SETTINGS, Settings, SettingsError


@pytest.fixture(autouse=True)
def no_settings_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where labplane.toml is looked for by default; nothing is there."""
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: tmp_path / "config" / name)
    return tmp_path / "config" / "labplane" / "labplane.toml"


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(text)
    return path


def test_without_anything_the_defaults_hold() -> None:
    """C-1, C-2."""
    settings = read()
    assert settings == Settings()
    assert (settings.host, settings.port, settings.local) == ("127.0.0.1", 8000, False)
    assert (settings.console_range, settings.udp_range) == ((2000, 5000), (10000, 20000))
    assert (settings.api_version, settings.strict, settings.source) == ("auto", False, "the settings")


def test_the_command_line_beats_variables_which_beat_the_file_which_beats_the_defaults(tmp_path: Path) -> None:
    path = toml(tmp_path, 'port = 1\nhost = "file"\napi_version = "file"\n')
    environment = {"LABPLANE_PORT": "2", "LABPLANE_HOST": "variable", "UNRELATED": "x"}
    settings = read(path, environment, {"port": 3, "host": None})
    assert (settings.port, settings.host, settings.api_version) == (3, "variable", "file")
    assert settings.console_ports == "2000-5000"
    assert settings.source == str(path)


def test_the_file_in_the_users_configuration_is_read_when_there_is_one(no_settings_of_the_user: Path) -> None:
    no_settings_of_the_user.parent.mkdir(parents=True)
    no_settings_of_the_user.write_text("port = 4321")
    settings = read()
    assert (settings.port, settings.source) == (4321, str(no_settings_of_the_user))


def test_every_setting_can_be_given_by_file_and_by_variable(tmp_path: Path) -> None:
    examples: dict[str, tuple[str, str, Any]] = {
        "host": ('"::1"', "::1", "::1"),
        "port": ("0", "0", 0),
        "uds": ('"/run/lab"', "/run/lab", "/run/lab"),
        "certfile": ('"a.pem"', "a.pem", "a.pem"),
        "auth": ('"token"', "token", "token"),
        "token_file": ('"/srv/token"', "/srv/token", "/srv/token"),
        "token": ('"x"', "x", "x"),
        "insecure": ("true", "1", True),
        "insecure_consoles": ("true", "1", True),
        "allow_hosts": ('["a", "b"]', "a,b", ("a", "b")),
        "cors_origins": ('["https://a"]', "https://a", ("https://a",)),
        "sandbox": ('"require"', "require", "require"),
        "max_vm_memory": ("16777216", "16777216", 16777216),
        "max_vm_file": ("1", "1", 1),
        "cgroups": ('"require"', "require", "require"),
        "max_vm_resident": ("16777216", "16777216", 16777216),
        "max_vm_processors": ("0.5", "0.5", 0.5),
        "max_vm_processes": ("1", "1", 1),
        "max_patience": ("0", "0", 0),
        "user": ('"nobody"', "nobody", "nobody"),
        "only_plugins": ('["a"]', "a", ("a",)),
        "local": ("true", "true", True),
        "projects_dir": ('"/srv"', "/srv", "/srv"),
        "durability": ('"full"', "full", "full"),
        "console_host": ('"::1"', "::1", "::1"),
        "console_ports": ('"1-65535"', "1-65535", "1-65535"),
        "udp_ports": ('"7-7"', "7-7", "7-7"),
        "api_version": ('"1.3"', "1.3", "1.3"),
        "max_body": ("1048576", "1048576", 1048576),
        "max_depth": ("8", "8", 8),
        "max_head": ("4096", "4096", 4096),
        "max_frame": ("4096", "4096", 4096),
        "max_connections": ("1", "1", 1),
        "max_peer_connections": ("1", "1", 1),
        "max_requests": ("1", "1", 1),
        "max_viewers": ("1", "1", 1),
        "max_vms": ("1", "1", 1),
        "on_exit": ('"keep"', "keep", "keep"),
        "console_memory": ("4096", "4096", 4096),
        "head_seconds": ("1", "1", 1),
        "keepalive_seconds": ("1", "1", 1),
        "stall_seconds": ("1", "1", 1),
        "unclaimed_udp_seconds": ("1", "1", 1),
        "log_level": ('"debug"', "debug", "debug"),
        "log_format": ('"json"', "json", "json"),
        "access_log": ("true", "true", True),
        "strict": ("true", "1", True),
        "plugins_dir": ('"/srv"', "/srv", "/srv"),
        "trace_plugins": ("true", "1", True),
        "driver_seconds": ("7", "7", 7),
        "disabled": ('["a", "b"]', " a, b,", ("a", "b")),
        "plugins": ("{a = {b = 1}}", '{"a": {"b": 1}}', {"a": {"b": 1}}),
    }
    assert examples.keys() == SETTINGS.keys() - {"keyfile"}, "which is of no use alone"
    for name, (in_file, in_variable, value) in examples.items():
        assert getattr(read(toml(tmp_path, f"{name} = {in_file}")), name) == value
        assert getattr(read(None, {f"LABPLANE_{name.upper()}": in_variable}), name) == value


def test_a_reload_leaves_alone_what_the_table_does_not_say_it_changes() -> None:
    assert {"host", "port", "projects_dir", "token", "disabled"} <= set(Settings.FIXED)
    assert not {"insecure", "local", "udp_ports", "max_body", "plugins", "source"} & set(Settings.FIXED)


def test_an_unknown_key_names_the_file_the_key_and_what_is_allowed(tmp_path: Path) -> None:
    path = toml(tmp_path, "prot = 1")
    with pytest.raises(SettingsError, match=r"lab\.toml: unknown key 'prot'; allowed are host, port, uds, .*plugins"):
        read(path)
    with pytest.raises(SettingsError, match=r"the variable LABPLANE_PROT: unknown key 'prot'; allowed are"):
        read(None, {"LABPLANE_PROT": "1"})


def test_the_variable_that_names_the_file_is_no_setting() -> None:
    assert read(None, {"LABPLANE_CONFIG": "/lab.toml"}) == Settings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = 65536", "'port' must be at most 65535"),
        ("port = -1", "'port' must be at least 0"),
        ('port = "80"', "'port' must be of type integer, not string"),
        ("port = 80.0", "'port' must be of type integer, not number"),
        ("port = true", "'port' must be of type integer, not boolean"),
        ('host = ""', "'host' must not be empty"),
        ("host = 1979-05-27", "'host' must be of type string, not date"),
        ("local = 1", "'local' must be of type boolean, not integer"),
        ("max_body = 33554433", "'max_body' must be at most 33554432"),
        ("max_body = 1", "'max_body' must be at least 1048576"),
        ("unclaimed_udp_seconds = 0", "'unclaimed_udp_seconds' must be at least 1"),
        ('log_level = "loud"', "'log_level' must be one of 'debug', 'info', 'warning', 'error'"),
        ('disabled = "vpcs"', "'disabled' must be of type array, not string"),
        ("disabled = [1]", "'disabled.0' must be of type string, not integer"),
        ("[plugins]\nvpcs = 1", "'plugins.vpcs' must be of type object, not integer"),
        (
            'udp_ports = "1000"',
            "'udp_ports' must be a range within 1-65535, lower end first, such as 2000-5000, not '1000'",
        ),
        ('udp_ports = "a-b"', "'udp_ports' must be a range"),
        ('udp_ports = "2000-1000"', "lower end first, such as 2000-5000, not '2000-1000'"),
        ('udp_ports = "1000-2000\\n"', "'udp_ports' must be a range"),
        ('console_ports = "0-10"', "'console_ports' must be a range within 1-65535"),
        ('console_ports = "1-65536"', "'console_ports' must be a range within 1-65535"),
        ("port 80", "is not TOML: "),
        ("\udcff", "lab.toml is not UTF-8: byte 0 cannot be decoded"),
    ],
)
def test_a_bad_value_names_the_file_and_what_is_allowed(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("value", ["eighty", "80.5", "NaN", "1e3", "[]", "9" * 5000, ""])
def test_a_variable_that_is_no_number_is_a_sentence(value: str) -> None:
    with pytest.raises(SettingsError, match="the variable LABPLANE_PORT: 'port' must be of type integer, not"):
        read(None, {"LABPLANE_PORT": value})


def test_a_bad_value_on_the_command_line_says_so() -> None:
    with pytest.raises(SettingsError, match="the command line: 'port' must be at most 65535"):
        read(None, None, {"port": 70000})


def test_a_byte_order_mark_before_the_file_is_ignored_and_another_encoding_named(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_bytes(b"\xef\xbb\xbfport = 81\r\n")
    assert read(path).port == 81
    for encoding in ("utf-16", "utf-16-le", "utf-32-be"):
        path.write_bytes("port = 81\n".encode(encoding))
        with pytest.raises(SettingsError, match=r"lab\.toml is UTF-16 or UTF-32; write it in UTF-8$"):
            read(path)


def test_a_file_that_was_asked_for_and_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml cannot be read: No such file"):
        read(tmp_path / "missing.toml")


@given(st.integers(0, 99999), st.integers(0, 99999))
def test_a_range_is_taken_exactly_when_it_is_one(first: int, last: int) -> None:
    try:
        settings = read(None, None, {"udp_ports": f"{first}-{last}"})
    except SettingsError:
        assert not 1 <= first <= last <= 65535
    else:
        assert settings.udp_range == (first, last)


def test_the_projects_directory_is_absolute_and_knows_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert Settings(projects_dir="~/labs").projects_path == tmp_path / "labs"
    assert Settings(projects_dir="labs").projects_path == tmp_path / "labs"


def bad_values(name: str) -> list[Any]:
    """Of each kind of badness that the setting's schema knows, one."""
    schema = SETTINGS[name].schema
    wrong: list[Any] = [{}, 1.5, [[]]] if schema.get("type") != "object" else [1.5, "x", {"vpcs": 1}]
    if "enum" in schema:
        wrong += ["", "loud", True, 1]
    match schema.get("type"):
        case "string":
            wrong += ["", 1, True, "a\0b"]
        case "integer":
            wrong += [schema["minimum"] - 1, "1", True, *([schema["maximum"] + 1] if "maximum" in schema else [])]
        case "number":
            wrong.remove(1.5)
            wrong += [schema["exclusiveMinimum"], "1", True]
        case "boolean":
            wrong += ["yes", 1, 0]
        case "array":
            wrong += ["a", [""], [1], ["a\0b"]]
    if name.endswith("_ports"):
        wrong += ["1", "2-1", "0-1", "1-65536", "1-2-3", "a-b", "1-2\n", "\u0661-\u0662"]
    return wrong


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_value_of_each_kind_is_one_sentence_that_names_the_setting(name: str) -> None:
    """Whatever setting the table has, and whatever the value is."""
    for value in bad_values(name):
        with pytest.raises(SettingsError) as caught:
            read(None, None, {name: value})
        told = str(caught.value)
        assert told.startswith(f"the command line: '{name}"), told
        assert told.endswith(f"({SETTINGS[name].meaning})"), told
        assert "\n" not in told
        if isinstance(value, str) and SETTINGS[name].schema.get("type") == "string" and value:
            with pytest.raises(SettingsError, match=f"the variable LABPLANE_{name.upper()}: "):
                read(None, {f"LABPLANE_{name.upper()}": value})


OF_A_SERVICE = {
    "LABPLANE_SERVICE_HOST": "10.0.0.9",
    "LABPLANE_SERVICE_PORT": "8000",
    "LABPLANE_SERVICE_PORT_HTTP": "8000",
    "LABPLANE_PORT": "tcp://10.0.0.9:8000",
    "LABPLANE_PORT_8000_TCP": "tcp://10.0.0.9:8000",
    "LABPLANE_PORT_8000_TCP_PROTO": "tcp",
    "LABPLANE_PORT_8000_TCP_PORT": "8000",
    "LABPLANE_PORT_8000_TCP_ADDR": "10.0.0.9",
    "LABPLANE_PORT_10000_UDP_ADDR": "fd00::9",
    "LABPLANE_PORT_2000_TCP_START": "tcp://10.0.0.9:2000",
    "LABPLANE_PORT_2000_TCP_PORT_END": "5000",
    "LABPLANE_ENV_LANG": "C",
    "LABPLANE_NAME": "/web/labplane",
    "LABPLANE_WEB_SERVICE_HOST": "10.0.0.10",  # of a service labplane-web
    "LABPLANE_CONFIG_PORT": "udp://10.0.0.11:53",
    "LABPLANE_WEB_1_PORT_80_SCTP_PROTO": "sctp",
    "LABPLANE_WEB_NAME": "/app/web",
}


def test_what_an_orchestrator_sets_for_a_service_of_that_name_is_passed_over_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert read(None, {**OF_A_SERVICE, "LABPLANE_HOST": "::1"}) == Settings(host="::1")
    assert set(caplog.messages[0].partition(": ")[2].split(", ")) == OF_A_SERVICE.keys()
    assert read(None, OF_A_SERVICE, {"port": 81}).port == 81


@pytest.mark.parametrize("name", SETTINGS)
def test_no_setting_looks_like_the_variable_of_a_service(name: str) -> None:
    assert set(variables({f"LABPLANE_{name.upper()}": "1"})) == {name}


@pytest.mark.parametrize(
    "variable", ["LABPLANE_PORT=http://x", "LABPLANE_NAME=x", "LABPLANE_SERVICE=x", "LABPLANE_PORT_TCP=1"]
)
def test_what_no_orchestrator_sets_is_still_refused(variable: str) -> None:
    name, _, text = variable.partition("=")
    with pytest.raises(SettingsError, match=f"the variable {name}: "):
        read(None, {name: text})


def test_without_a_home_the_settings_are_read_and_a_place_that_needs_it_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_config_path", unknown)
    monkeypatch.setattr(platformdirs, "user_data_path", unknown)
    monkeypatch.setattr(Path, "expanduser", lambda path: unknown() if str(path).startswith("~") else path)
    assert read(None, None, {"projects_dir": "/srv"}).projects_path == Path("/srv")
    with pytest.raises(SettingsError, match=r"'projects_dir': the home directory in ~/.* is not known; give an abso"):
        _ = read().projects_path


@pytest.mark.parametrize("path", ["~no_such_user/labs", "~no_such_user"])
def test_a_projects_directory_that_can_be_none_is_one_sentence(path: str) -> None:
    with pytest.raises(SettingsError, match="'projects_dir': "):
        _ = Settings(projects_dir=path).projects_path
