"""The command line of a machine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from labplane import VM
from labplane_qemu import disks
from labplane_qemu.settings import DISKS, IGNORED, split

X86 = ("x86_64", "i386")
MONITOR = 3
"""The descriptor of the monitor; those of the adapters follow."""
PER_BRIDGE = 16
TRANSLATION = 256
"""MiB for code that is translated. QEMU's own choice, up to 1 GiB, would count against the limit of memory."""
# Cards whose ROM for booting from the network takes seconds at each start.
WITH_ROM = ("e1000", "virtio", "rtl8139", "pcnet", "ne2k_pci", "vmxnet3", "i82", "igb", "tulip")


def command_line(vm: VM, program: Path, accelerator: str) -> Sequence[str]:
    """All words with which `program` runs `vm`, paused."""
    own = vm.settings
    return [
        str(program),
        *("-name", f"guest={_value(vm.name)}"),
        *("-nodefaults", "-no-user-config", "-S"),
        *("-accel", "kvm" if accelerator == "kvm" else f"tcg,tb-size={TRANSLATION}"),
        *("-m", f"{own['ram']}M", "-smp", f"cpus={own['cpus']}"),
        *("-boot", f"order={own['boot_priority']}"),
        *("-chardev", f"socket,id=monitor,fd={MONITOR},server=on,wait=off", "-mon", "chardev=monitor,mode=control"),
        *_console(vm),
        *_firmware(vm),
        *_disks(vm),
        *_cards(vm),
        *(word for word in split(own["options"]) if word not in IGNORED),
    ]


def _console(vm: VM) -> Iterator[str]:
    """The serial line is the terminal, also beside a screen: its log has what the guest printed there."""
    yield from ("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console")
    screen = vm.settings["console_type"] == "vnc"
    yield from ("-display", "vnc=none" if screen else "none")
    if vm.settings["platform"] in X86:
        if not screen:
            yield from ("-machine", "graphics=off")  # so that firmware and boot loaders use the serial line
        if "-vga" not in split(vm.settings["options"]):
            yield from ("-vga", "std")


def _firmware(vm: VM) -> Iterator[str]:
    for option, setting in (("-bios", "bios_image"), ("-kernel", "kernel_image"), ("-initrd", "initrd")):
        if (path := disks.image(vm, setting)) is not None:
            yield from (option, str(path))
    if vm.settings["kernel_command_line"]:
        yield from ("-append", vm.settings["kernel_command_line"])


def _disks(vm: VM) -> Iterator[str]:
    own = disks.disks(vm)
    if (path := disks.image(vm, "cdrom_image")) is not None:
        taken = [at for at, disk in enumerate(DISKS) if disk in own and vm.settings[f"{disk}_disk_interface"] == "ide"]
        place = next((at for at in (2, 3, 1, 0) if at not in taken), 2)
        yield from ("-drive", f"file={_value(path)},if=ide,index={place},media=cdrom,readonly=on")
    buses = set()
    for index, (disk, base) in enumerate(own.items()):
        linked = vm.settings["linked_clone"]
        drive = f"file={disks.clone(vm, disk).name},format=qcow2" if linked else f"file={_value(base)}"
        interface = vm.settings[f"{disk}_disk_interface"]
        if interface in ("scsi", "sata"):
            controller, card = ("lsi53c895a", "scsi-hd") if interface == "scsi" else ("ahci", "ide-hd")
            if interface not in buses:
                buses.add(interface)
                yield from ("-device", f"{controller},id={interface}")
            at = f"bus=scsi.0,scsi-id={index}" if interface == "scsi" else f"bus=sata.{index}"
            yield from ("-drive", f"{drive},if=none,id={disk},media=disk")
            yield from ("-device", f"{card},drive={disk},{at}")
        else:
            yield from ("-drive", f"{drive},if={interface},index={DISKS.index(disk)},media=disk")


def _cards(vm: VM) -> Iterator[str]:
    """Each card is at a hub of its own, and so is the plug of its link, which can be replaced while the card stays.

    Each plug has a socket from the start, or QEMU would complain of a hub that leads nowhere, on the console.
    """
    kind = "virtio-net-pci" if vm.settings["adapter_type"] == "virtio" else vm.settings["adapter_type"]
    rom = ",romfile=" if kind.startswith(WITH_ROM) and "n" not in vm.settings["boot_priority"] else ""
    on_pci = vm.settings["platform"] in X86 and bool(kind.startswith(WITH_ROM))
    for number in range(vm.settings["adapters"]):
        bridge, place = divmod(number, PER_BRIDGE)
        at = ""
        if bridge and on_pci:
            if not place:
                yield from ("-device", f"pci-bridge,id=bridge{bridge},bus=pci.0,chassis_nr={bridge}")
            at = f",bus=bridge{bridge}"
        yield from ("-netdev", f"dgram,id=wire{number},local.type=fd,local.str={MONITOR + 1 + number}")
        yield from ("-netdev", f"hubport,id=plug{number},hubid={number},netdev=wire{number}")
        yield from ("-netdev", f"hubport,id=card{number},hubid={number}")
        yield from ("-device", f"{kind},id=nic{number},netdev=card{number},mac={mac(vm, number)}{rom}{at}")


def mac(vm: VM, number: int) -> str:
    """The MAC address of that adapter of `vm`."""
    base = vm.settings.get("mac_address")
    if not base:
        return vm.mac(number)
    value = (int(base.replace(":", ""), 16) + number) % (1 << 48)
    return ":".join(f"{value:012x}"[at : at + 2] for at in range(0, 12, 2))


def _value(text: object) -> str:
    """A value of an option: commas are doubled."""
    return str(text).replace(",", ",,")
