"""The gns3 plugin: what GNS3's desktop programs expect of a server."""

import re
from collections.abc import Iterable

from labplane import ArchivePart, Plugin, hook
from labplane_gns3.topology import TopologyFile

_desktop = re.compile(r"GNS3 QT Client v(1\.[0-9][0-9A-Za-z.]{0,20})")


class GNS3(Plugin):
    """V-1, F-8 and F-13 of docs/api.md."""

    @hook
    def api_version(self, user_agent: str) -> str | None:
        """The version of a desktop program of GNS3 1.x, which talks only to servers of exactly its own version."""
        found = _desktop.fullmatch(user_agent)
        return found[1] if found else None

    @hook
    def archive_parts(self) -> Iterable[ArchivePart]:
        return [TopologyFile()]
