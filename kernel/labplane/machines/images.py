"""Images: files of disks and systems that settings of VMs name, kept by whoever implements `image_path`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labplane.errors import Conflict

if TYPE_CHECKING:
    from labplane.machines.driver import Driver
    from labplane.machines.vm import VM

FORMAT = "labplane-image"


def image_settings(driver: "Driver") -> list[str]:
    """The names of the settings of VMs of that driver that name images."""
    return [name for name, schema in driver.properties.items() if schema.get("format") == FORMAT]


def images_of(vm: "VM", settings: Mapping[str, Any]) -> dict[str, Path]:
    """The path of each image that these settings of `vm` name, by the setting; it need not exist. Raises LabError.

    A setting that is empty or null names none.
    """
    named = ((name, settings.get(name)) for name in image_settings(vm.driver))
    return {name: vm.lab.image_path(vm.driver.kind, image) for name, image in named if image}


async def check_start(vm: "VM") -> None:
    """Raise LabError when the emulator of `vm` cannot run here, or an image that it names is not there."""
    await vm.supervised(vm.driver.check())
    for setting, path in images_of(vm, vm.settings).items():
        if not path.is_file():
            raise Conflict(
                f"The image {vm.settings[setting]!r} of {vm} ({setting}) is not there; "
                f"upload it with POST /v1/{vm.driver.kind}/vms/{vm.settings[setting]}."
            )
