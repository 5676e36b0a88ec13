"""GNS3's programs: the command that they start, the version that they are told, the topology file that they keep."""

from labplane_gns3.plugin import GNS3

__all__ = ["GNS3"]
