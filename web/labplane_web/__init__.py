"""Labs in the browser: the pages at / and /labs/{lab}, which use the public API alone."""

from labplane_web.plugin import Web

__all__ = ["Web"]
