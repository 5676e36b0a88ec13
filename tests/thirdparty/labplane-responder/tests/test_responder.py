"""VMs of the kind "responder" keep what labplane promises of every VM; frames come back through their links."""

from collections.abc import Mapping
from typing import ClassVar

from labplane.testing import DriverTests


class TestResponder(DriverTests):
    kind = "responder"
    answers: ClassVar[Mapping[tuple[int, int], str]] = {(0, 0): "10.66.0.1"}
