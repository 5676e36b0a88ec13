"""The disks of a machine: images, and the clones of them to which it writes."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labplane import VM, Conflict
from labplane_qemu.settings import DISKS

SECONDS = 60.0


def image(vm: VM, setting: str) -> Path | None:
    """The file of the image that this setting of `vm` names; None when it names none. Raises LabError."""
    name = vm.settings.get(setting)
    return vm.lab.image_path(vm.driver.kind, name) if name else None


def clone(vm: VM, disk: str) -> Path:
    """The place of the file to which a linked clone writes what it changes on `disk`."""
    return vm.dir / f"{disk}_disk.qcow2"


def disks(vm: VM) -> dict[str, Path]:
    """The image of each disk that `vm` has. Raises LabError."""
    found = {disk: image(vm, f"{disk}_disk_image") for disk in DISKS}
    return {disk: path for disk, path in found.items() if path is not None}


async def prepare(vm: VM, img: Path) -> None:
    """Have a clone of each disk's image that is built on this image. Raises LabError.

    img: the program qemu-img, which runs confined: what it reads was uploaded by users.
    """
    for disk, base in disks(vm).items():
        path = clone(vm, disk)
        if await asyncio.to_thread(path.exists):
            about = await _about(vm, img, path)
            former = about.get("full-backing-filename") or about.get("backing-filename") or ""
            if former == str(base):
                continue
            if Path(former).name == base.name:  # the same image at another place, as after an import
                form = about.get("backing-filename-format") or (await _about(vm, img, base))["format"]
                await _run(vm, img, "rebase", "-u", "-f", "qcow2", "-F", form, "-b", str(base), path.name)
                continue
            kept = path.with_name(f"{path.name}.former")
            await asyncio.to_thread(path.rename, kept)
            vm.tell("info", f"{vm} has another image for {disk}; what it wrote to the former one is kept in {kept}.")
        form = (await _about(vm, img, base))["format"]
        await _run(vm, img, "create", "-f", "qcow2", "-F", form, "-b", str(base), path.name)


async def _about(vm: VM, img: Path, path: Path) -> Mapping[str, Any]:
    text = await _run(vm, img, "info", "-U", "--output=json", str(path))
    about = json.loads(text[text.index("{") :])
    if not isinstance(about, dict) or not isinstance(about.get("format"), str):
        raise Conflict(f"qemu-img does not say what {path.name} is.")
    return about


async def _run(vm: VM, img: Path, *arguments: str) -> str:
    driver: Any = vm.driver
    text: str = await driver.tool(vm, [str(img), *arguments], seconds=SECONDS)
    return text


def md5sum(path: Path) -> str | None:
    """The MD5 sum of an image as it stands beside it; None when nobody has made one."""
    try:
        text = path.with_name(f"{path.name}.md5sum").read_bytes()[:64].decode("ascii", "replace").strip()
    except OSError:
        return None
    return text if len(text) == 32 and all(digit in "0123456789abcdef" for digit in text) else None
