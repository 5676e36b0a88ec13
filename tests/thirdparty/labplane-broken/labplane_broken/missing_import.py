"""A plugin whose author forgot a dependency."""

import a_module_that_nobody_has  # noqa: F401

from labplane import Plugin


class Broken(Plugin):
    pass
