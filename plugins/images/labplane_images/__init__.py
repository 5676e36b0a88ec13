"""Images of disks and systems for VMs: listed, uploaded, deleted, and found by their names."""

from labplane_images.plugin import Images

__all__ = ["Images"]
