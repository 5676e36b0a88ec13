"""A lab on a socket: which clients get in, and within which limits. For programs that embed labplane, and commands."""

from labplane.kernel import Kernel
from labplane.plugins.files import available
from labplane.plugins.loading import PluginError
from labplane.server.app import make_app
from labplane.server.exposure import Exposed
from labplane.server.serving import serve, set_up_logging
from labplane.settings import ENVIRONMENT_PREFIX, Settings, SettingsError
from labplane.settings import read as read_settings
from labplane.settings import variables as settings_variables

__all__ = [
    "ENVIRONMENT_PREFIX",
    "Exposed",
    "Kernel",
    "PluginError",
    "Settings",
    "SettingsError",
    "available",
    "make_app",
    "read_settings",
    "serve",
    "set_up_logging",
    "settings_variables",
]
