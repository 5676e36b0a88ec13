"""The settings of a QEMU machine, by the names that GNS3 1.3 to 1.5 have for them."""

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from labplane import BadRequest, Schema

PLATFORMS = (
    *("aarch64", "alpha", "arm", "cris", "i386", "lm32", "m68k", "microblaze", "microblazeel", "mips", "mips64"),
    *("mips64el", "mipsel", "moxie", "or32", "ppc", "ppc64", "ppcemb", "s390x", "sh4", "sh4eb", "sparc", "sparc64"),
    *("tricore", "unicore32", "x86_64", "xtensa", "xtensaeb"),
)
DISKS = ("hda", "hdb", "hdc", "hdd")
IMAGES = (*(f"{disk}_disk_image" for disk in DISKS), "cdrom_image", "bios_image", "kernel_image", "initrd")
INTERFACES = ("ide", "sata", "scsi", "virtio", "floppy", "pflash", "sd", "mtd")
MOST_ADAPTERS = 32
NICE = {"realtime": -20, "very high": -15, "high": -5, "normal": 0, "low": 5, "very low": 19}
PROGRAM = re.compile(r"qemu-system-([a-z0-9_]+)|qemu-kvm|qemu")
LONGEST_LINE = 4000

# Options that can be had without `allow_options`, since they name no file, socket or program; each with the form of its
# value, or None.
HARMLESS = {
    "-nographic": None,
    "-no-kvm": None,
    "-enable-kvm": None,
    "-no-acpi": None,
    "-no-hpet": None,
    "-no-fd-bootchk": None,
    "-usb": None,
    "-usbdevice": r"tablet|mouse|keyboard",
    "-cpu": r"[\w.,+=-]+",
    "-vga": r"\w+",
    "-machine": r"(?:smm|usb|vmport|hpet)=(?:on|off)|pc|q35|type=(?:pc|q35)",
    "-icount": r"auto|\d+",
    "-rtc": r"(?:,?(?:base=(?:utc|localtime)|clock=\w+|driftfix=\w+))+",
    "-smbios": r"type=\d+(?:,(?!path=|file=)\w+=[\w .:-]*)*",
}
IGNORED = frozenset({"-nographic", "-no-kvm", "-enable-kvm"})  # which the driver does by itself

_end = r"$(?!\n)"  # Python's $ would let a newline follow
_line = rf"^[^\x00-\x1f\x7f]*{_end}"


def _property(schema: Schema, default: Any, change: str = "restart") -> Schema:
    return {**schema, "default": default, "x-null": "default", "x-change": change}


def _image(what: str) -> Schema:
    return _property({"type": "string", "format": "labplane-image", "description": what}, "", "stopped")


PROPERTIES: Mapping[str, Schema] = {
    "usage": _property({"type": "string", "maxLength": 10000, "description": "a note for users"}, "", "live"),
    "qemu_path": _property(
        {
            "type": "string",
            "pattern": rf"^(([^\x00-\x1f]*/)?qemu(-kvm|-system-[a-z0-9_]+)?)?{_end}",
            "maxLength": LONGEST_LINE,
            "description": "the name of the program, which is looked up on the server's PATH; "
            "directories before it do not count",
        },
        "qemu-system-x86_64",
        "stopped",
    ),
    "platform": _property({"enum": list(PLATFORMS), "description": "that the program emulates"}, "x86_64", "stopped"),
    "linked_clone": _property(
        {"type": "boolean", "description": "write to disks of its own, and leave the images as they are"},
        True,
        "stopped",
    ),
    "ram": _property({"type": "integer", "minimum": 1, "maximum": 1024 * 1024, "description": "in MiB"}, 256),
    "cpus": _property({"type": "integer", "minimum": 1, "maximum": 255}, 1),
    "adapters": _property({"type": "integer", "minimum": 0, "maximum": MOST_ADAPTERS}, 1, "stopped"),
    "adapter_type": _property(
        {
            "type": "string",
            "pattern": rf"^[A-Za-z0-9][A-Za-z0-9_.-]{{0,63}}{_end}",
            "description": "QEMU's name of a network card: e1000, virtio-net-pci, rtl8139, vmxnet3",
        },
        "e1000",
    ),
    "mac_address": {
        "type": ["string", "null"],
        "pattern": rf"^(([0-9a-fA-F]{{2}}:){{5}}[0-9a-fA-F]{{2}})?{_end}",
        "description": "of the first adapter; each further one has the next. By default unique ones",
    },
    **{f"{disk}_disk_image": _image(f"the image of the disk {disk}") for disk in DISKS},
    **{f"{disk}_disk_interface": _property({"enum": list(INTERFACES)}, "ide") for disk in DISKS},
    "cdrom_image": _image("the image in the CD drive"),
    "bios_image": _image("the firmware, instead of QEMU's own"),
    "kernel_image": _image("a kernel that is started without firmware"),
    "initrd": _image("the initial RAM disk of that kernel"),
    "kernel_command_line": _property({"type": "string", "pattern": _line, "maxLength": LONGEST_LINE}, ""),
    "boot_priority": _property({"enum": ["c", "d", "n", "cn", "cd", "dn", "dc", "nc", "nd"]}, "c"),
    "console_type": _property(
        {"enum": ["telnet", "vnc", "none"], "description": "its serial line, or its screen"}, "telnet", "stopped"
    ),
    "acpi_shutdown": _property(
        {"type": "boolean", "description": "let the guest shut itself down when it is stopped"}, False, "live"
    ),
    "process_priority": _property({"enum": list(NICE)}, "low"),
    "cpu_throttling": _property(
        {"type": "integer", "minimum": 0, "maximum": 800, "description": "percent of a processor; only 0, no limit"}, 0
    ),
    "legacy_networking": _property({"type": "boolean", "description": "kept for GNS3; makes no difference"}, False),
    "options": _property(
        {
            "type": "string",
            "pattern": _line,
            "maxLength": LONGEST_LINE,
            "description": "further options of QEMU: any with the plugin's setting allow_options, else harmless ones",
        },
        "",
    ),
}
SUMS: Mapping[str, Schema] = {
    f"{image}_md5sum": {"type": ["string", "null"], "description": f"MD5 sum of {image}, if it is known"}
    for image in IMAGES
}


def normalised(given: Mapping[str, Any], *, any_options: bool) -> Mapping[str, Any]:
    """Settings as they are kept. Raises BadRequest for what cannot work.

    any_options: whether options may be any.
    """
    taken = dict(given)
    if taken.get("cpu_throttling"):
        raise BadRequest("cpu_throttling is not supported; 0 means no limit. Lower process_priority instead.")
    if taken.get("mac_address"):
        if int(taken["mac_address"][:2], 16) & 1:
            raise BadRequest(f"mac_address {taken['mac_address']} is a group address; its first number must be even.")
        taken["mac_address"] = taken["mac_address"].lower()
    if "options" in taken:
        check_options(taken["options"], any_options=any_options)
    if taken.get("qemu_path"):
        taken["platform"] = platform_of(taken["qemu_path"])
    elif "platform" in taken:
        taken["qemu_path"] = f"qemu-system-{taken['platform']}"
    elif "qemu_path" in taken:
        taken |= {"qemu_path": PROPERTIES["qemu_path"]["default"], "platform": "x86_64"}
    return taken


def platform_of(qemu_path: str) -> str:
    """The platform that a program of that name emulates. Raises BadRequest for one that is not known."""
    name = PurePath(qemu_path).name
    found = PROGRAM.fullmatch(name)
    if found is None:
        raise BadRequest(f"qemu_path {qemu_path[:100]!r} is not the name of a QEMU: qemu-system-x86_64, say.")
    platform = found[1] or ("i386" if name == "qemu" else "x86_64")
    if platform not in PLATFORMS:
        raise BadRequest(f"qemu_path {qemu_path[:100]!r} emulates no platform that is known: {', '.join(PLATFORMS)}.")
    return platform


def check_options(text: str, *, any_options: bool) -> None:
    """Raise BadRequest unless these `options` may be given."""
    words = split(text)
    if any_options:
        return
    allowed = f"Without the setting allow_options of the plugin qemu there can be: {', '.join(HARMLESS)}."
    while words:
        word = words.pop(0)
        if word not in HARMLESS:
            raise BadRequest(f"options: {word[:60]!r} is not allowed here. {allowed}")
        form = HARMLESS[word]
        if form is not None and (not words or not re.fullmatch(form, words.pop(0))):
            raise BadRequest(f"options: {word} has no value, or one that is not allowed here. {allowed}")


def split(text: str) -> list[str]:
    """The words of `options`. Raises BadRequest for quotes that do not end."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadRequest(f"options cannot be split into words: {error}.") from None
