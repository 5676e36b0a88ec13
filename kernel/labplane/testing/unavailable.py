"""A plugin for the server under test: the driver of the kind CONFORMANCE_KIND finds its emulator missing."""

import os
from collections.abc import Mapping
from typing import Any

from labplane import Lab, Plugin, Unavailable


class NoEmulator(Plugin):
    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        lab.at_start(self.replace)

    async def replace(self) -> None:
        """Replace the driver's `check`, at the start of the server, when every plugin is loaded."""

        async def check() -> None:
            raise Unavailable(os.environ["CONFORMANCE_REASON"])

        self.lab.drivers[os.environ["CONFORMANCE_KIND"]].check = check  # type: ignore[method-assign]
