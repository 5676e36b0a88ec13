"""Project files: listed, read and written over HTTP, and whole labs exported and imported as archives."""

from labplane_files.plugin import Files

__all__ = ["Files"]
