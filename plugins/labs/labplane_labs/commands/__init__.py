"""The commands that `labplane` has for labs, each a click command. They know a server by its HTTP API alone."""

from labplane_labs.commands.life import check, down, ps, up
from labplane_labs.commands.lines import exec_, test

__all__ = ["check", "down", "exec_", "ps", "test", "up"]
