"""A switch is held to what every driver is held to."""

from labplane.testing import DriverTests


class TestSwitch(DriverTests):
    kind = "switch"
