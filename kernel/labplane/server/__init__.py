"""A lab on a socket: which clients get in, and within which limits. For programs that embed labplane, and commands."""

from labplane.kernel import Kernel
from labplane.plugins.files import available
from labplane.plugins.loading import PluginError
from labplane.server.app import make_app
from labplane.server.configuration import ENVIRONMENT_PREFIX, read as read_settings, variables as settings_variables
from labplane.server.exposure import Exposed
from labplane.server.logs import set_up_logging
from labplane.server.serving import serve
from labplane.server.utf8 import ensure_utf8
from labplane.settings import Settings, SettingsError

__all__ = [
    "ENVIRONMENT_PREFIX",
    "Exposed",
    "Kernel",
    "PluginError",
    "Settings",
    "SettingsError",
    "available",
    "ensure_utf8",
    "make_app",
    "read_settings",
    "serve",
    "set_up_logging",
    "settings_variables",
]
