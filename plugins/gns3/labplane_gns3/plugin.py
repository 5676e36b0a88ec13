"""The gns3 plugin: what GNS3's desktop programs expect of a server."""

import re

from labplane import Plugin, hook

_desktop = re.compile(r"GNS3 QT Client v(1\.[0-9][0-9A-Za-z.]{0,20})")


class GNS3(Plugin):
    """V-1 of docs/api.md."""

    @hook
    def api_version(self, user_agent: str) -> str | None:
        """The version of a desktop program of GNS3 1.x, which talks only to servers of exactly its own version."""
        found = _desktop.fullmatch(user_agent)
        return found[1] if found else None
