"""Further ports of a VM, leased under names: they are kept with it, and all of its ports are given back at once."""

from typing import TYPE_CHECKING

from labplane.machines import records

if TYPE_CHECKING:
    from labplane.machines.vm import VM


def lease_consoles(vm: "VM") -> None:
    """Lease a port for each further console of `vm` that has none yet."""
    for name in getattr(vm.driver, "consoles", ()):
        if name not in vm.consoles:
            vm.leases[records.CONSOLE][name] = vm.lab.consoles.lease(vm)


def release_ports(vm: "VM") -> None:
    """Give back all ports of `vm`."""
    vm.lab.consoles.release_all(vm)
    vm.lab.udp.release_all(vm)


async def lease_udp(vm: "VM", name: str) -> int:
    """The UDP port of `vm` of that name, leased when it is asked for the first time. Raises LabError."""
    ports = vm.leases[records.UDP]
    if name not in ports:
        number = vm.lab.udp.lease(vm)
        try:
            ports[name] = number
            if vm.listed:  # else it is kept with all the rest
                await vm.lab.state.write(records.change(vm, leases=vm.leases))
        except BaseException:
            del ports[name]
            vm.lab.udp.release(number, vm)
            raise
    return ports[name]
