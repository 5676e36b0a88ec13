"""The conformance kit for authors of drivers: `DriverTests`, and what their own tests may use besides."""

try:
    import httpx2 as httpx2
    import hypothesis as hypothesis
    import pytest as pytest
except ImportError as missing:
    raise ImportError(
        f"labplane.testing needs {missing.name}; `pip install 'labplane[testing]'` brings all that it needs."
    ) from None

from labplane.testing.conformance import DriverTests
from labplane.testing.server import Server, free_range, port_is_free, running, until
from labplane.testing.viewer import Viewer

__all__ = ["DriverTests", "Server", "Viewer", "free_range", "port_is_free", "running", "until"]
