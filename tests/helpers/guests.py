"""Guests for QEMU, made of Debian's packages: iPXE, and a Linux with busybox."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

GUESTS = Path(__file__).parents[2] / ".venv" / "guests"
"""Where `./run tests` has unpacked them."""
IPXE = GUESTS / "boot" / "ipxe.lkrn"
BUSYBOX = GUESTS / "bin" / "busybox"
MODULES = (  # in the order in which they can be loaded
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"),
    *("failover", "net_failover", "virtio_net", "evdev", "button"),
)
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in {modules}; do insmod /modules/$module.ko; done
echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore
echo 1 > /proc/sys/net/ipv4/ip_forward
for word in $(cat /proc/cmdline); do
    case $word in eth[0-9]*=*) ip addr add ${{word#*=}} dev ${{word%%=*}};; esac
done
for card in /sys/class/net/eth*; do ip link set ${{card##*/}} up; done
for button in /dev/input/event*; do (head -c 1 $button > /dev/null && poweroff -f) & done
export PS1='guest# '
exec setsid cttyhack sh
"""


def require_guests() -> None:
    """Skip the test, or in continuous integration fail it, when there are none here."""
    if not BUSYBOX.exists():
        text = f"There are no guests in {GUESTS}; ./run tests fetches them on amd64 Debian and Ubuntu."
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)


def images(folder: Path) -> Path:
    """A directory of images in `folder`, as the plugin images has it: ipxe.lkrn, vmlinuz and initrd of kind qemu.

    The kernel's command line says what the Linux does: eth0=10.0.0.1/24 gives it an address. It routes, has a shell at
    its serial line with the prompt "guest# ", and shuts down when its power button is pressed.
    """
    require_guests()
    (kernel,) = (GUESTS / "boot").glob("vmlinuz-*")
    qemu = folder / "images" / "QEMU"
    qemu.mkdir(parents=True)
    (qemu / "ipxe.lkrn").write_bytes(IPXE.read_bytes())
    (qemu / "vmlinuz").write_bytes(kernel.read_bytes())
    (qemu / "initrd").write_bytes(_initrd())
    return folder / "images"


def _initrd() -> bytes:
    root = next((GUESTS / "lib" / "modules").iterdir())
    found = {path.stem: path for path in root.rglob("*.ko")}
    folders = [Entry(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "dev", "modules", "proc", "sys")]
    modules = [Entry(f"modules/{name}.ko", stat.S_IFREG | 0o644, found[name].read_bytes()) for name in MODULES]
    init = INIT.format(modules=" ".join(MODULES)).encode()
    programs = [
        Entry("init", stat.S_IFREG | 0o755, init),
        Entry("bin/busybox", stat.S_IFREG | 0o755, BUSYBOX.read_bytes()),
    ]
    return archive([*folders, *modules, *programs])


class Entry(NamedTuple):
    """One file of an archive, a directory or a link."""

    name: str
    mode: int
    content: bytes
    mtime: int = 0


def archive(files: Iterable[Entry]) -> bytes:
    """A cpio archive of the form "newc" with these files.

    https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
    """
    archive = bytearray()
    for number, one in enumerate([*files, Entry("TRAILER!!!", 0, b"")], 1):
        name = one.name.encode() + b"\0"
        fields = (number, one.mode, 0, 0, 1, one.mtime, len(one.content), 0, 0, 0, 0, len(name), 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + name, one.content):
            archive += part + b"\0" * (-len(part) % 4)
    return bytes(archive)
