"""The driver of the second tutorial keeps what labplane promises of every VM, frames included."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from labplane.testing import DriverTests

TINY = Path(__file__).parents[1] / "thirdparty" / "tiny"


class TestTiny(DriverTests):
    kind = "tiny"
    settings: ClassVar[Mapping[str, str]] = {"image": "two.img"}
    answers: ClassVar[Mapping[tuple[int, int], str]] = {(0, 0): "10.66.0.1", (1, 0): "10.66.1.1"}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def images(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Tell the server where its images are."""
        config = tmp_path_factory.mktemp("settings") / "labplane.toml"
        config.write_text(f"[plugins.images]\ndir = '{TINY / 'images'}'\n")
        cls.options = ("--plugins-dir", str(TINY), "--config", str(config))
