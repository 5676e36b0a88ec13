"""Settings: defaults, then labplane.toml, then LABPLANE_* variables, then the command line, the last one wins."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import platformdirs

from labplane.validation.jsonbody import MAX_DEPTH
from labplane.validation.schemas import LabValidator, Schema, complaint

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


_NAMES: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}}

_COUNT: Schema = {"type": "integer", "minimum": 1}

_SCHEMAS: Mapping[str, Schema] = {
    "host": {"type": "string", "minLength": 1, "description": "address for HTTP; 0.0.0.0 lets everybody in"},
    "port": {"type": "integer", "minimum": 0, "maximum": 65535, "description": "TCP port for HTTP, 0 for any free one"},
    "uds": {"type": "string", "minLength": 1, "description": "Unix socket for HTTP, instead of host and port"},
    "certfile": {"type": "string", "minLength": 1, "description": "TLS certificate for HTTP, with its chain"},
    "keyfile": {"type": "string", "minLength": 1, "description": "its private key, unless the certfile has it"},
    "auth": {"enum": ["off", "token"], "description": "whether clients need the token"},
    "token_file": {"type": "string", "minLength": 1, "description": "where the token is kept; made when missing"},
    "token": {"type": "string", "minLength": 1, "description": "the token itself, instead of token_file"},
    "insecure": {"type": "boolean", "description": "listen where strangers are, without authentication or encryption"},
    "insecure_consoles": {"type": "boolean", "description": "let consoles listen where strangers are"},
    "allow_hosts": {**_NAMES, "description": "further names by which clients may address the server"},
    "cors_origins": {**_NAMES, "description": "origins whose web pages may use the API: https://lab.example.org"},
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
    "max_depth": {
        "type": "integer",
        "minimum": 8,
        "maximum": MAX_DEPTH,
        "description": "deepest nesting of a request body",
    },
    "max_head": {"type": "integer", "minimum": 4096, "description": "longest head of a request in bytes"},
    "max_frame": {"type": "integer", "minimum": 4096, "description": "longest frame of a WebSocket in bytes"},
    "max_connections": {**_COUNT, "description": "HTTP connections at once"},
    "max_requests": {**_COUNT, "description": "HTTP requests at once"},
    "max_viewers": {**_COUNT, "description": "viewers of one console at once"},
    "max_vms": {**_COUNT, "description": "VMs of one project"},
    "head_seconds": {**_COUNT, "description": "after that a request whose head is not complete is refused"},
    "stall_seconds": {**_COUNT, "description": "after that a client that sends or reads nothing more is hung up"},
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
    "sandbox": {"enum": ["auto", "off", "require"], "description": "whether emulators are confined to what is theirs"},
    "user": {"type": "string", "minLength": 1, "description": "whom emulators run as, when the server is root"},
    "driver_seconds": {
        "type": "integer",
        "minimum": 1,
        "description": "after that a driver's work on a VM is cancelled",
    },
    "only_plugins": {**_NAMES, "description": "names of the only plugins to load"},
    "disabled": {**_NAMES, "description": "names of plugins not to load"},
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
        *("host", "port", "uds", "certfile", "keyfile", "auth", "token_file", "token", "allow_hosts", "cors_origins"),
        *("max_head", "max_frame", "max_connections", "max_requests", "head_seconds", "stall_seconds"),
        *("projects_dir", "log_level", "access_log"),
        *("strict", "plugins_dir", "trace_plugins", "user", "only_plugins", "disabled"),
    )

    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    auth: str = "off"
    token_file: str = field(default_factory=lambda: str(platformdirs.user_data_path("labplane") / "token"))
    token: str | None = field(default=None, repr=False)
    insecure: bool = False
    insecure_consoles: bool = False
    allow_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    local: bool = False
    projects_dir: str = field(default_factory=lambda: str(platformdirs.user_data_path("labplane") / "projects"))
    console_host: str = "127.0.0.1"
    console_ports: str = "2000-5000"
    udp_ports: str = "10000-20000"
    api_version: str = "auto"
    max_body: int = 16 * 1024 * 1024
    max_depth: int = MAX_DEPTH
    max_head: int = 64 * 1024
    max_frame: int = 1024 * 1024
    max_connections: int = 1000
    max_requests: int = 1000
    max_viewers: int = 64
    max_vms: int = 1000
    head_seconds: int = 20
    stall_seconds: int = 60
    unclaimed_udp_seconds: int = 3600
    log_level: str = "info"
    access_log: bool = False
    strict: bool = False
    plugins_dir: str | None = None
    trace_plugins: bool = False
    sandbox: str = "auto"
    user: str | None = None
    driver_seconds: int = 60
    only_plugins: tuple[str, ...] = ()
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
    if "keyfile" in values and "certfile" not in values:
        raise SettingsError("'keyfile' is of no use without 'certfile'")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
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
