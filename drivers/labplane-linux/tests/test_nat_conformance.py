"""A nat is held to what every driver is held to."""

from pathlib import Path

from labplane.testing import DriverTests


class TestNat(DriverTests):
    kind = "nat"
    options = ("--config", str(Path(__file__).with_name("allowed.toml")))
    answers = {(0, 0): "10.0.2.2"}  # noqa: RUF012
