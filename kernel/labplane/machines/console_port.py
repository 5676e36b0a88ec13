"""The console port of a VM: leased by number, and changed while the VM runs."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from labplane.errors import Conflict
from labplane.machines.vm import STOPPED, VM


@asynccontextmanager
async def moved_console(vm: VM, old: int, new: int) -> AsyncIterator[None]:
    """Give `vm` the console port `new`, listening if it runs; it keeps `old` if the block fails."""
    consoles = vm.lab.consoles
    reserve_console(vm, new)
    try:
        async with AsyncExitStack() as stack:
            if vm.status != STOPPED:
                await _listen(stack, vm, new)
            yield
    except BaseException:
        consoles.release(new, vm)
        raise
    consoles.release(old, vm)
    vm.console = new


def reserve_console(vm: VM, console: int) -> None:
    """Lease that console port to `vm` (M-4)."""
    vm.lab.consoles.reserve(console, vm)


async def _listen(stack: AsyncExitStack, vm: VM, port: int) -> None:
    """Let the console of `vm`, which runs, listen at `port` too until the stack ends; there alone if that ends well."""
    if vm.session is None:
        raise Conflict(f"The console of {vm} cannot be changed while it runs; stop it first.")
    try:
        with vm.lab.consoles.shared(port):
            await stack.enter_async_context(vm.session.listener.moved(vm.lab.settings.console_host, port))
    except OSError:
        raise Conflict(f"The console port {port} is in use by another program.") from None
