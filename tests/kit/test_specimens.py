"""Two drivers without a fault, one that can do everything and one that can do nothing, pass."""

from pathlib import Path

from labplane.testing import DriverTests

FOLDER = Path(__file__).parent / "specimens"


class TestReference(DriverTests):
    kind = "specimen"
    options = ("--plugins-dir", str(FOLDER))


class TestPlain(DriverTests):
    kind = "specimen"
    options = ("--plugins-dir", str(FOLDER), "--config", str(FOLDER / "plain.toml"))
