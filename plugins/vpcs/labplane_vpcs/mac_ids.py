"""The last byte of each VPCS's MAC address, its MAC id: one for each in the server, as long as there are enough."""

import socket
import zlib
from collections.abc import Iterable
from pathlib import Path

from labplane import Conflict

MAC_IDS = 255
ALL = (1 << MAC_IDS) - 1
FIRST_BEYOND = 256


def first_id(projects: Path) -> int:
    """The MAC id with which the server of that projects directory begins: another one for most other servers."""
    return zlib.crc32(f"{socket.gethostname()}:{projects}".encode("utf-8", "surrogateescape")) % MAC_IDS


class MacIds:
    """The MAC ids 0 to 254, leased to the VPCS of all projects (M-13).

    A VPCS gets the next id that no other one of the server has. When all are leased, it gets one of those that the
    fewest have, none of them in its own project.

    One that runs in the built-in engine may have an id of its own: when all those are leased, it gets one from 256 on.

    first: the id that is leased first; from there they go up, and on from 0.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        # In these masks bit n stands for the id `first` + n, modulo 255.
        self._of_project: dict[str, int] = {}
        self._beyond: set[int] = set()
        self._next_beyond = FIRST_BEYOND  # none below it is free
        self._leased_times: list[int] = []  # the ids that are leased at least once, at least twice, and so on

    def lease(self, project_id: str, kept: Iterable[int] = (), *, own: bool = False) -> int:
        """A MAC id for a VPCS of that project. Raises Conflict when the project has all of them.

        kept: ids that are the project's although they are not leased yet.
        own:  whether it has to be one that no other has, of those beyond when there is none of the first.
        """
        if own and self._leased_times[:1] == [ALL]:
            return self._lease_beyond(kept)
        return self._lease_shared(project_id, kept)

    def _lease_beyond(self, kept: Iterable[int]) -> int:
        while self._next_beyond in self._beyond:
            self._next_beyond += 1
        mac_id, passed_over = self._next_beyond, {*kept, *self._beyond}
        while mac_id in passed_over:
            mac_id += 1
        self._beyond.add(mac_id)
        return mac_id

    def _lease_shared(self, project_id: str, kept: Iterable[int]) -> int:
        own = self._of_project.get(project_id, 0)
        for mac_id in (one for one in kept if one < FIRST_BEYOND):
            own |= 1 << (mac_id - self._first) % MAC_IDS
        if own == ALL:
            raise Conflict(
                f"The project has {MAC_IDS} VPCS, which is all that their MAC addresses allow; delete one first."
            )
        times = 0
        while times < len(self._leased_times) and not ALL & ~self._leased_times[times] & ~own:
            times += 1
        if times == len(self._leased_times):
            self._leased_times.append(0)
        free = ALL & ~self._leased_times[times] & ~own
        lowest = free & -free
        self._lease(project_id, lowest)
        return (self._first + lowest.bit_length() - 1) % MAC_IDS

    def again(self, project_id: str, mac_id: int | None, kept: Iterable[int] = (), *, shared: bool) -> int:
        """The MAC id that a VPCS of that project had, or another one if it had none or another project has it now.

        kept:   those of all its VPCS, which may not be back yet.
        shared: leave it to both projects. Raises Conflict as `lease` does.
        """
        if mac_id is not None and mac_id >= FIRST_BEYOND:
            if mac_id in self._beyond:
                return self._lease_beyond(kept)
            self._beyond.add(mac_id)
            return mac_id
        if mac_id is not None:
            bit = 1 << (mac_id - self._first) % MAC_IDS
            taken = bool(self._leased_times) and self._leased_times[0] & bit
            if not self._of_project.get(project_id, 0) & bit and (shared or not taken):
                self._lease(project_id, bit)
                return mac_id
        return self.lease(project_id, kept)

    def _lease(self, project_id: str, bit: int) -> None:
        times = next((n for n, leased in enumerate(self._leased_times) if not leased & bit), len(self._leased_times))
        if times == len(self._leased_times):
            self._leased_times.append(0)
        self._leased_times[times] |= bit
        self._of_project[project_id] = self._of_project.get(project_id, 0) | bit

    def release(self, project_id: str, mac_id: int) -> None:
        """Give back what `lease` gave."""
        if mac_id >= FIRST_BEYOND:
            self._beyond.remove(mac_id)
            self._next_beyond = min(self._next_beyond, mac_id)
            return
        bit = 1 << (mac_id - self._first) % MAC_IDS
        left = self._of_project.pop(project_id) & ~bit
        if left:
            self._of_project[project_id] = left
        most = max(times for times, leased in enumerate(self._leased_times) if leased & bit)
        self._leased_times[most] &= ~bit
        while self._leased_times and not self._leased_times[-1]:
            self._leased_times.pop()
