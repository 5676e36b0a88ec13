from labplane.testing import DriverTests


class TestEcho(DriverTests):
    kind = "echo"
