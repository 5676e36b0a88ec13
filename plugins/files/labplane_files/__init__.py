"""Project files over HTTP: list, read and write single ones, export and import whole labs as archives."""

from labplane_files.plugin import Files

__all__ = ["Files"]
