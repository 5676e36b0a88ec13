"""Command-line options for settings, made from the table in settings.py."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import click

from labplane.settings import SETTINGS, Setting, Settings


def settings_options(*names: str) -> Callable[[Any], Any]:
    """A decorator that gives a command the options of these settings, by default of all that have one.

    The command gets each value by the setting's name; None means that the option was not given.
    """
    wanted = names or [name for name, row in SETTINGS.items() if row.option]

    def decorate(command: Any) -> Any:
        for name in reversed(wanted):
            command = _option(name, SETTINGS[name])(command)
        return command

    return decorate


def _option(name: str, row: Setting) -> Callable[[Any], Any]:
    declaration, _, metavar = row.option.partition(" ")
    more: dict[str, Any] = {"metavar": metavar or None, "help": _help(name, row)}
    kind = row.schema.get("type")
    if "enum" in row.schema:
        more |= {"type": click.Choice(row.schema["enum"])}
    elif kind == "integer":
        more |= {"type": int}
    elif kind == "array":
        again = {"multiple": True, "callback": _list, "help": f"{more['help']}; may be given again"}
        more |= {"callback": _split} if metavar else again
    return click.option(declaration, name, default=None, **more)


def _help(name: str, row: Setting) -> str:
    (field,) = (field for field in fields(Settings) if field.name == name)
    default = field.default if field.default_factory is MISSING else "in the user's data directory"
    text = row.meaning[0].upper() + row.meaning[1:]
    return f"{text} [default: {default}]" if default not in (None, False, ()) else text


def _split(_: click.Context, __: click.Parameter, text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _list(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[str] | None:
    return list(given) or None
