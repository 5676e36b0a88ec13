"""Plugins of one file: each ``*.py`` in the directory of the setting ``plugins_dir``."""

import sys
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from labplane.plugins.contract import Plugin
from labplane.plugins.loading import Candidate, PluginError, installed
from labplane.settings import Settings, SettingsError, expanded


def available(settings: Settings) -> list[Candidate]:
    """All plugins that a lab with these settings may load: those of distributions, then those in files.

    Raises SettingsError when there is no such directory.
    """
    return installed() + (
        [] if settings.plugins_dir is None else plugin_files(expanded("plugins_dir", settings.plugins_dir))
    )


def plugin_files(directory: Path) -> list[Candidate]:
    """The plugins in `directory`, by name; files that begin with ``_`` or ``.`` and subdirectories are passed over.

    Raises SettingsError when it cannot be read.
    """
    try:
        path = directory.resolve()
        files = sorted(file for file in path.iterdir() if file.suffix == ".py" and file.name[0] not in "._")
    except OSError as error:
        raise SettingsError(f"'plugins_dir': {directory} cannot be read: {error.strerror}") from None
    return [Candidate(file.stem, partial(_load, file), str(file), "") for file in files]


def _load(file: Path) -> object:
    """Run the file; returns the one class in it that is a plugin."""
    name = f"labplane_plugin_file_{file.stem}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{file} is no Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    own = {thing for thing in vars(module).values() if isinstance(thing, type) and thing.__module__ == name}
    plugins = [cls for cls in own if issubclass(cls, Plugin) and not cls.__name__.startswith("_")]
    if len(plugins) != 1:
        names = ", ".join(sorted(cls.__name__ for cls in plugins)) or "none"
        raise PluginError(f"one file is one plugin: it must define one subclass of labplane.Plugin; here: {names}")
    return plugins[0]
