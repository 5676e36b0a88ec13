"""The VPCS driver is held to what every driver is held to."""

from collections.abc import Mapping
from typing import ClassVar

from labplane.testing import DriverTests


class TestVPCS(DriverTests):
    kind = "vpcs"
    settings: ClassVar[Mapping[str, str]] = {"engine": "vpcs", "startup_script": "ip 10.66.0.1/24"}
    answers: ClassVar[Mapping[tuple[int, int], str]] = {(0, 0): "10.66.0.1"}
