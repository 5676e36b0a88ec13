"""Commands that distributions offer: entry points of the group "labplane.commands", each a click command."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

import click

GROUP = "labplane.commands"


class Commands(click.Group):
    """The commands of labplane itself, and those that are offered, which are imported when they are called or listed.

    One that cannot be loaded, or whose name is taken, is named and left out.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *offered()})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        own = super().get_command(context, name)
        if own is not None:
            return own
        entries = offered().get(name)
        if not entries:
            return None
        if len(entries) > 1:
            _complain(entries[0], f"{', '.join(_source(entry) for entry in entries)} offer it; uninstall all but one")
            return None
        try:
            command = entries[0].load()
        except Exception as error:
            _complain(entries[0], f"{type(error).__name__}: {error}")
            return None
        if not isinstance(command, click.Command):
            _complain(entries[0], f"{entries[0].value} is no click command")
            return None
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(context, formatter)
        for name, entries in offered().items():
            if name in self.commands:
                _complain(entries[0], "labplane has a command of that name itself")


def offered() -> Mapping[str, list[EntryPoint]]:
    """The entry points of the group, by name."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _complain(entry: EntryPoint, reason: str) -> None:
    click.echo(f"The command {entry.name} of {_source(entry)} is left out: {reason}.", err=True)


def _source(entry: EntryPoint) -> str:
    return "an unknown distribution" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
