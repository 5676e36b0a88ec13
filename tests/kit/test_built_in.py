"""The built-in PC is held to what every driver is held to."""

from collections.abc import Mapping
from typing import ClassVar

from labplane.testing import DriverTests


class TestBuiltIn(DriverTests):
    kind = "vpcs"
    settings: ClassVar[Mapping[str, str]] = {"engine": "builtin", "startup_script": "ip 10.66.0.1/24"}
    answers: ClassVar[Mapping[tuple[int, int], str]] = {(0, 0): "10.66.0.1"}
