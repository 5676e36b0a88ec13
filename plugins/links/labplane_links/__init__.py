"""The links plugin: what is linked to what in a project, links in one request, and lines typed at consoles."""

from labplane_links.plugin import Links

__all__ = ["Links"]
