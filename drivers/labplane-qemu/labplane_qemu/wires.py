"""The links of a machine that runs: plugs at the hubs of its cards, changed by its monitor."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from labplane import VM, Conflict, LabError, open_udp
from labplane_qemu.monitor import Monitor


class Wires:
    """What is plugged in at each adapter of one machine, since its start or since a server has taken it over.

    We keep our copy of each socket that the machine has, so that another one can take its place at the same port. Of
    links that an earlier server has plugged in there is none.
    """

    def __init__(self, vm: VM, monitor: Monitor) -> None:
        self._vm = vm
        self._monitor = monitor
        self._ends: dict[int, socket.socket] = {}

    async def connect(self, adapter: int, nio: Mapping[str, Any], former: Mapping[str, Any] | None) -> None:
        """Plug `nio` in, in place of `former`. Raises LabError, and then that is plugged in as before."""
        end = self._ends.get(adapter)
        if end is None and former is not None and former["lport"] == nio["lport"]:
            await self.unplug(adapter)  # or the port would not be free
            try:
                new = await open_udp(self._vm, nio)
            except LabError:
                await self.plug(adapter, await open_udp(self._vm, former))
                raise
        else:
            new = await open_udp(self._vm, nio, instead_of=end)
        await self.plug(adapter, new)

    async def plug(self, adapter: int, end: socket.socket) -> None:
        """Lead the adapter to `end`, a connected socket, which is ours from now on. Raises LabError."""
        ask = self._monitor.ask
        try:
            await ask("getfd", end, fdname=f"end{adapter}")
            await self._remove(adapter)
            await ask("netdev_add", type="dgram", id=f"wire{adapter}", local={"type": "fd", "str": f"end{adapter}"})
            await ask("netdev_add", type="hubport", id=f"plug{adapter}", hubid=adapter, netdev=f"wire{adapter}")
            await ask("set_link", name=f"nic{adapter}", up=True)
        except BaseException:
            end.close()
            raise
        former = self._ends.pop(adapter, None)
        if former is not None:
            former.close()
        self._ends[adapter] = end

    async def unplug(self, adapter: int) -> None:
        """Lead the adapter nowhere, and let its guest see that."""
        await self._monitor.ask("set_link", name=f"nic{adapter}", up=False)
        await self._remove(adapter)
        if (end := self._ends.pop(adapter, None)) is not None:
            end.close()

    def close(self) -> None:
        for end in self._ends.values():
            end.close()
        self._ends.clear()

    async def _remove(self, adapter: int) -> None:
        for one in (f"plug{adapter}", f"wire{adapter}"):
            with suppress(Conflict):  # there is none while nothing is plugged in
                await self._monitor.ask("netdev_del", id=one)
