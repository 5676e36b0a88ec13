"""Reading settings: defaults, then labplane.toml, then LABPLANE_* variables, then the command line; the last wins."""

import json
import logging
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from labplane.settings import SETTINGS, Settings, SettingsError, ends
from labplane.validation.jsonbody import decode
from labplane.validation.schemas import Schemas

log = logging.getLogger("labplane")

ENVIRONMENT_PREFIX = "LABPLANE_"
NOT_SETTINGS = frozenset({"LABPLANE_CONFIG", "LABPLANE_URL"})
_OF_A_SERVICE = re.compile(  # what Kubernetes and Docker set for services called labplane or labplane-SOMETHING
    r"LABPLANE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+)=.*"
    r"|LABPLANE_(\w+_)?(PORT=(tcp|udp|sctp)://|NAME=/).*",
    re.DOTALL,
)
_RANGE = re.compile("[0-9]{1,5}-[0-9]{1,5}")


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
    values: dict[str, Any] = {} if path is None else dict(_checked(_read_file(path), str(path)))
    environment = environment or {}
    if foreign := sorted(variable for variable, text in environment.items() if _of_a_service(variable, text)):
        log.warning("the variables of a service called labplane are passed over: %s", ", ".join(foreign))
    for name, text in variables(environment).items():
        values |= _checked({name: _from_text(name, text)}, f"the variable {ENVIRONMENT_PREFIX}{name.upper()}")
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    values |= _checked(given, "the command line")
    if "keyfile" in values and "certfile" not in values:
        raise SettingsError("'keyfile' is of no use without 'certfile'")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Settings(**values, source="the settings" if path is None else str(path))


def default_config() -> Path | None:
    """labplane.toml in the user's configuration directory, if there is one that can be looked for."""
    try:
        path = platformdirs.user_config_path("labplane") / "labplane.toml"
    except RuntimeError:  # a user without a home
        return None
    return path if os.path.lexists(path) else None


def variables(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The settings among the variables, by the setting's name."""
    return {
        one.removeprefix(ENVIRONMENT_PREFIX).lower(): text
        for one, text in sorted(environment.items())
        if one.startswith(ENVIRONMENT_PREFIX) and one not in NOT_SETTINGS and not _of_a_service(one, text)
    }


def _of_a_service(variable: str, text: str) -> bool:
    return _OF_A_SERVICE.fullmatch(f"{variable}={text}") is not None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(decode(path.read_bytes()))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeError as error:
        raise SettingsError(f"{path} {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _from_text(name: str, text: str) -> Any:
    kind = SETTINGS[name].schema.get("type") if name in SETTINGS else None
    if kind == "array":
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind == "boolean" and text in ("0", "1"):
        return text == "1"
    if kind in ("boolean", "integer", "number", "object"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _checked(values: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    if unknown := sorted(set(values) - set(SETTINGS)):
        raise SettingsError(f"{source}: unknown key {unknown[0]!r}; allowed are {', '.join(SETTINGS)}")
    for name, value in values.items():
        rule = Schemas().compile({"properties": {name: SETTINGS[name].schema}}, name)
        if reason := rule.complaint({name: value}):
            raise SettingsError(f"{source}: {reason} ({SETTINGS[name].meaning})")
        if name.endswith("_ports") and not _is_range(value):
            allowed = "a range within 1-65535, lower end first, such as 2000-5000"
            raise SettingsError(f"{source}: '{name}' must be {allowed}, not {value[:40]!r} ({SETTINGS[name].meaning})")
    return values


def _is_range(text: str) -> bool:
    return _RANGE.fullmatch(text) is not None and 1 <= ends(text)[0] <= ends(text)[1] <= 65535
