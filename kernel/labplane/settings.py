"""The table of all settings: the class `Settings`.

Their schemas, the variables, the options of ``labplane serve``, the settings that a reload can change, and the table in
docs/settings.md are derived from its fields. They are read by server/configuration.py.
"""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, cast, get_args

import platformdirs

from labplane.validation.jsonbody import MAX_DEPTH
from labplane.validation.schemas import Schema

T = TypeVar("T")

_TEXT: Schema = {"type": "string", "minLength": 1, "pattern": r"^[^\x00]*$", "description": "a text without NUL"}
_SCHEMAS: Mapping[Any, Schema] = {
    str: _TEXT,
    str | None: _TEXT,
    int: {"type": "integer", "minimum": 1},
    int | None: {"type": "integer", "minimum": 1},
    float | None: {"type": "number", "exclusiveMinimum": 0},
    bool: {"type": "boolean"},
    tuple[str, ...]: {"type": "array", "items": _TEXT},
    Mapping[str, Mapping[str, Any]]: {"type": "object", "additionalProperties": {"type": "object"}},
}
_MIB = 1024 * 1024


class SettingsError(Exception):
    """A setting is unknown or has a bad value; the text names source, key and what is allowed."""


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    meaning: a phrase for docs/settings.md, ``--help`` and messages.
    option:  of ``labplane serve``, with a word for its value if there is a better one than its type; "" for none.
    reload:  whether a reload changes it. Otherwise a changed value takes effect at the next start.
    schema:  of its value.
    """

    meaning: str
    option: str
    reload: bool
    schema: Schema


def setting(
    default: T, meaning: str, option: str = "", *, reload: bool = False, secret: bool = False, **schema: Any
) -> T:
    """A field of `Settings`, whose type gives its schema, to which `schema` adds keywords.

    default: the value, or a function, typed as the value, that makes it anew for each `Settings`.
    secret:  keeps the value out of logs.
    """
    given: Any = {"default_factory": default} if callable(default) else {"default": default}
    row = Setting(meaning, option, reload, schema)
    return cast(T, field(**given, repr=not secret, metadata={"row": row}))


def _user_data(name: str) -> Any:
    def find() -> str:
        try:
            return str(platformdirs.user_data_path("labplane") / name)
        except RuntimeError:  # a user without a home; `expanded` says so if the place is used
            return f"~/.local/share/labplane/{name}"

    return find


@dataclass(frozen=True)
class Settings:
    """All settings of a lab. Ranges have their ends included.

    source: where they come from, for messages.
    """

    FIXED: ClassVar[tuple[str, ...]]
    """The names of those that a reload leaves as they are."""

    host: str = setting("127.0.0.1", "address for HTTP", "--host")
    port: int = setting(8000, "TCP port for HTTP, 0 for any free one", "--port", minimum=0, maximum=65535)
    uds: str | None = setting(
        None, "Unix socket for HTTP, in a directory of mode 0700, instead of host and port", "--uds PATH"
    )
    certfile: str | None = setting(None, "TLS certificate for HTTP, with its chain", "--certfile")
    keyfile: str | None = setting(None, "its private key, unless the certfile has it", "--keyfile")
    auth: Literal["off", "token"] = setting("off", "whether clients need the token", "--auth")
    token_file: str = setting(_user_data("token"), "where the token is kept; made when missing", "--token-file")
    token: str | None = setting(None, "the token itself, instead of token_file", secret=True)
    insecure: bool = setting(
        False, "listen where strangers are without authentication or TLS", "--insecure/--secure", reload=True
    )
    insecure_consoles: bool = setting(
        False, "let consoles listen where strangers are", "--insecure-consoles/--secure-consoles", reload=True
    )
    allow_hosts: tuple[str, ...] = setting((), "further names of this server", "--allow-host")
    cors_origins: tuple[str, ...] = setting((), "origins whose web pages may use the API, https://lab.example.org")
    projects_dir: str = setting(_user_data("projects"), "where projects live; created when missing", "--projects-dir")
    durability: Literal["normal", "full"] = setting(
        "normal", "whether what is acknowledged outlives a power cut too (full), or all but its last second"
    )
    local: bool = setting(
        False, "the client runs on this host: it may choose paths and stop the server", "--local/--remote", reload=True
    )
    console_host: str = setting("127.0.0.1", "address on which consoles listen", "--console-host", reload=True)
    console_ports: str = setting("2000-5000", "TCP ports for consoles", "--console-ports A-B", reload=True)
    udp_ports: str = setting("10000-20000", "UDP ports for links", "--udp-ports A-B", reload=True)
    api_version: str = setting("auto", "what GET /v1/version answers", "--api-version", reload=True)
    max_body: int = setting(16 * _MIB, "longest request body in bytes", reload=True, minimum=_MIB, maximum=32 * _MIB)
    max_depth: int = setting(MAX_DEPTH, "deepest nesting of a request body", reload=True, minimum=8, maximum=MAX_DEPTH)
    max_head: int = setting(64 * 1024, "longest head of a request in bytes; beyond it 431", minimum=4096)
    max_frame: int = setting(_MIB, "longest frame of a WebSocket in bytes", minimum=4096)
    max_connections: int = setting(1000, "HTTP connections at once; beyond it 503")
    max_peer_connections: int = setting(
        500, "HTTP connections of one address at once, of a /64 for IPv6; beyond it 503. A proxy is one address"
    )
    max_requests: int = setting(1000, "HTTP requests at once, streams included; beyond it 503")
    max_viewers: int = setting(64, "viewers of one console at once, from its VM's next start on", reload=True)
    on_exit: Literal["end", "keep"] = setting(
        "end", "whether VMs end with the server, or run on for the next one", "--on-exit", reload=True
    )
    console_memory: int = setting(
        16 * 1024,
        "bytes of each console that outlast the server; the first to go are the oldest",
        minimum=4096,
        maximum=_MIB,
    )
    max_vms: int = setting(1000, "VMs of one project", reload=True)
    head_seconds: int = setting(
        20, "after that a head that is not complete is refused (408), and a TLS handshake given up"
    )
    stall_seconds: int = setting(60, "after that a client that sends or reads nothing more is hung up")
    keepalive_seconds: int = setting(60, "after that an idle client of a long connection is probed (TCP keepalive)")
    unclaimed_udp_seconds: int = setting(3600, "after that a UDP port that no link uses is free again", reload=True)
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "how much is logged", "--log-level")
    log_format: Literal["text", "json"] = setting("text", "how each line of the log is written", "--log-format")
    access_log: bool = setting(False, "log each request", "--access-log/--no-access-log")
    strict: bool = setting(False, "do not start when a plugin fails to load", "--strict/--lenient")
    only_plugins: tuple[str, ...] = setting((), "load these plugins and no others", "--only-plugins A,B")
    plugins_dir: str | None = setting(None, "load each *.py in it as a plugin", "--plugins-dir DIR")
    trace_plugins: bool = setting(False, "log each call of a hook, with the names of the plugins that are asked")
    sandbox: Literal["auto", "off", "require"] = setting(
        "auto", "whether emulators are confined to what is theirs", reload=True
    )
    max_vm_memory: int = setting(
        4096 * _MIB, "address space of each process of an emulator, in bytes", reload=True, minimum=16 * _MIB
    )
    max_vm_file: int = setting(4096 * _MIB, "longest file that an emulator can write, in bytes", reload=True)
    cgroups: Literal["auto", "off", "require"] = setting(
        "auto", "whether the programs of a VM get a cgroup, in which they can be limited", reload=True
    )
    max_vm_resident: int | None = setting(
        None, "memory that all programs of a VM may use together, in bytes", reload=True, minimum=16 * _MIB
    )
    max_vm_processors: float | None = setting(
        None, "processors whose time all programs of a VM may use together, as 0.5 or 2", reload=True
    )
    max_vm_processes: int | None = setting(
        None, "processes and threads that all programs of a VM may have together", reload=True
    )
    user: str | None = setting(None, "the user as whom emulators run, when the server is root")
    max_patience: int = setting(
        60, "longest time in seconds that a driver may leave a VM for a graceful end", reload=True, minimum=0
    )
    driver_seconds: int = setting(60, "after that a driver's work on a VM is cancelled", reload=True)
    disabled: tuple[str, ...] = setting((), "names of plugins that are not even imported")
    plugins: Mapping[str, Mapping[str, Any]] = setting(
        cast(Any, dict), "a table of settings for each plugin", reload=True
    )
    source: str = "the settings"

    @property
    def console_range(self) -> tuple[int, int]:
        return ends(self.console_ports)

    @property
    def udp_range(self) -> tuple[int, int]:
        return ends(self.udp_ports)

    @property
    def projects_path(self) -> Path:
        """The absolute directory below which projects live. Raises SettingsError."""
        return Path(os.path.realpath(expanded("projects_dir", self.projects_dir)))  # which no loop of links makes fail


def expanded(name: str, path: str) -> Path:
    """`path`, the value of the setting `name`, with its home directory. Raises SettingsError when nobody knows that."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        advice = "give an absolute path, or set HOME"
        raise SettingsError(f"'{name}': the home directory in {path[:200]} is not known; {advice}") from None


def _row(one: Field[Any]) -> Setting:
    row: Setting = one.metadata["row"]
    return replace(row, schema={**(_SCHEMAS.get(one.type) or {"enum": list(get_args(one.type))}), **row.schema})


SETTINGS: Mapping[str, Setting] = {one.name: _row(one) for one in fields(Settings) if one.metadata}
Settings.FIXED = tuple(name for name, row in SETTINGS.items() if not row.reload)


def ends(text: str) -> tuple[int, int]:
    """The ends of a range of ports such as "2000-5000"."""
    first, _, last = text.partition("-")
    return int(first), int(last)
