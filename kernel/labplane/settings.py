"""Settings: defaults, then labplane.toml, then LABPLANE_* variables, then the command line, the last one wins."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import platformdirs

from labplane.schemas import LabValidator, Schema, complaint

ENVIRONMENT_PREFIX = "LABPLANE_"
NOT_SETTINGS = frozenset({"LABPLANE_CONFIG"})


class SettingsError(Exception):
    """A setting is unknown or has a bad value; the text names source, key and what is allowed."""


def _port_range(example: str) -> Schema:
    return {
        "type": "string",
        "pattern": "^[0-9]{1,5}-[0-9]{1,5}$",
        "description": f"a range of ports such as {example}",
    }


_SCHEMAS: Mapping[str, Schema] = {
    "host": {"type": "string", "minLength": 1, "description": "address for HTTP; 0.0.0.0 lets everybody in"},
    "port": {"type": "integer", "minimum": 0, "maximum": 65535, "description": "TCP port for HTTP, 0 for any free one"},
    "local": {
        "type": "boolean",
        "description": "the client runs on this host: it may choose project paths, stop the server",
    },
    "projects_dir": {"type": "string", "minLength": 1, "description": "where projects live"},
    "console_host": {"type": "string", "minLength": 1, "description": "address on which consoles listen"},
    "console_ports": _port_range("2000-5000"),
    "udp_ports": _port_range("10000-20000"),
    "api_version": {"type": "string", "minLength": 1, "description": "what GET /v1/version answers, or auto"},
    "max_body": {
        "type": "integer",
        "minimum": 1024 * 1024,
        "maximum": 32 * 1024 * 1024,
        "description": "longest request body in bytes",
    },
    "unclaimed_udp_seconds": {
        "type": "integer",
        "minimum": 1,
        "description": "after that a UDP port of POST /v1/ports/udp that no link uses is free again",
    },
    "log_level": {"enum": ["debug", "info", "warning", "error"], "description": "how much is logged"},
    "access_log": {"type": "boolean", "description": "log each request"},
    "strict": {"type": "boolean", "description": "do not start when a plugin fails to load"},
    "plugins_dir": {"type": "string", "minLength": 1, "description": "directory whose *.py are plugins, one a file"},
    "trace_plugins": {"type": "boolean", "description": "log each call of a hook, with the names of the plugins"},
    "driver_seconds": {
        "type": "integer",
        "minimum": 1,
        "description": "after that a driver's work on a VM is cancelled",
    },
    "disabled": {"type": "array", "items": {"type": "string"}, "description": "names of plugins not to load"},
    "plugins": {
        "type": "object",
        "additionalProperties": {"type": "object"},
        "description": "a table of settings for each plugin",
    },
}


@dataclass(frozen=True)
class Settings:
    """All settings of a lab. Ranges have their ends included.

    source: where they come from, for messages.
    """

    FIXED: ClassVar[tuple[str, ...]] = (
        *("host", "port", "projects_dir", "log_level", "access_log"),
        *("strict", "plugins_dir", "trace_plugins", "disabled"),
    )

    host: str = "127.0.0.1"
    port: int = 8000
    local: bool = False
    projects_dir: str = field(default_factory=lambda: str(platformdirs.user_data_path("labplane") / "projects"))
    console_host: str = "127.0.0.1"
    console_ports: str = "2000-5000"
    udp_ports: str = "10000-20000"
    api_version: str = "auto"
    max_body: int = 16 * 1024 * 1024
    unclaimed_udp_seconds: int = 3600
    log_level: str = "info"
    access_log: bool = False
    strict: bool = False
    plugins_dir: str | None = None
    trace_plugins: bool = False
    driver_seconds: int = 60
    disabled: tuple[str, ...] = ()
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: str = "the settings"

    @property
    def console_range(self) -> tuple[int, int]:
        return _ends(self.console_ports)

    @property
    def udp_range(self) -> tuple[int, int]:
        return _ends(self.udp_ports)

    @property
    def projects_path(self) -> Path:
        """The absolute directory below which projects live."""
        return Path(self.projects_dir).expanduser().resolve()


def read(
    config: Path | None = None, environment: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """The settings from a file, from variables and from the command line, in rising order.

    config:      the file; by default labplane.toml in the user's configuration directory, if there is one.
    environment: variables, of which those that begin with LABPLANE_ count.
    overrides:   by name; None means not given.

    Raises SettingsError.
    """
    path = config or default_config()
    values: dict[str, Any] = {}
    if config is not None or path.exists():
        values |= _checked(_read_file(path), str(path))
    for variable, text in sorted((environment or {}).items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in NOT_SETTINGS:
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            values |= _checked({name: _from_text(name, text)}, f"the variable {variable}")
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    values |= _checked(given, "the command line")
    if "disabled" in values:
        values["disabled"] = tuple(values["disabled"])
    return Settings(**values, source=str(path) if config is not None or path.exists() else "the settings")


def default_config() -> Path:
    return platformdirs.user_config_path("labplane") / "labplane.toml"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _from_text(name: str, text: str) -> Any:
    kind = _SCHEMAS.get(name, {}).get("type")
    if kind == "array":
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind == "boolean" and text in ("0", "1"):
        return text == "1"
    if kind in ("boolean", "integer", "object"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _checked(values: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    if unknown := sorted(set(values) - set(_SCHEMAS)):
        raise SettingsError(f"{source}: unknown key {unknown[0]!r}; allowed are {', '.join(_SCHEMAS)}")
    for name, value in values.items():
        schema = _SCHEMAS[name]
        if reason := complaint(LabValidator({"properties": {name: schema}}), {name: value}):
            raise SettingsError(f"{source}: {reason} ({schema['description']})")
        if name.endswith("_ports"):
            first, last = _ends(value)
            if not 1 <= first <= last <= 65535:
                raise SettingsError(
                    f"{source}: '{name}' must be a range within 1-65535, lower end first, not {value!r}"
                )
    return values


def _ends(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last)
