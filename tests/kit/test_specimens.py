"""Three drivers without a fault pass: one that can do everything, one that can do nothing, one that only talks."""

from pathlib import Path

from labplane.testing import DriverTests

FOLDER = Path(__file__).parent / "specimens"


class TestReference(DriverTests):
    kind = "specimen"
    options = ("--plugins-dir", str(FOLDER))


class TestPlain(DriverTests):
    kind = "specimen"
    options = ("--plugins-dir", str(FOLDER), "--config", str(FOLDER / "plain.toml"))


class TestTalking(DriverTests):
    """A console that is served by the kernel for a machine that is no program."""

    kind = "specimen"
    options = ("--plugins-dir", str(FOLDER), "--config", str(FOLDER / "talking.toml"))
