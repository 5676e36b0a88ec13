"""A QEMU machine is held to what every driver is held to."""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from guests import images
from labplane.testing import DriverTests

# iPXE is up in a second, and answers ARP.
SECOND_CARD = "ifopen net1 && set net1/ip 10.66.1.1 && set net1/netmask 255.255.255.0 && shell"


class TestQemu(DriverTests):
    kind = "qemu"
    settings: ClassVar[Mapping[str, object]] = {
        "kernel_image": "ipxe.lkrn",
        "kernel_command_line": SECOND_CARD,
        "adapters": 2,
        "ram": 32,
        "process_priority": "normal",
    }
    answers: ClassVar[Mapping[tuple[int, int], str]] = {(1, 0): "10.66.1.1"}
    boots_within = 30.0

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def images(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Tell the server where its images are."""
        folder = tmp_path_factory.mktemp("images")
        config = folder / "labplane.toml"
        config.write_text(f"[plugins.images]\ndir = '{images(folder)}'\n[plugins.qemu]\nkvm = 'off'\n")
        cls.options = ("--config", str(config))
