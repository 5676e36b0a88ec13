"""The command line."""

from labplane.cli.commands import main

__all__ = ["main"]
