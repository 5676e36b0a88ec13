"""The VPCS driver is held to what every driver is held to."""

from labplane.testing import DriverTests


class TestVPCS(DriverTests):
    kind = "vpcs"
