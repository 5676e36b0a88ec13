"""VMs of the kind "echo" keep what labplane promises of every VM."""

from labplane.testing import DriverTests


class TestEcho(DriverTests):
    kind = "echo"
