"""Projects: a directory with VMs in it, opened, changed, committed, closed and deleted over HTTP."""

from labplane_projects.plugin import Projects

__all__ = ["Projects"]
