"""Which VPCS of a project has which last byte of a MAC address (M-13)."""

from labplane import Conflict

MAC_IDS = 255


class MacIds:
    """The numbers 0 to 254 of each project, the lowest free one first."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}  # one bit for each number

    def lease(self, project_id: str) -> int:
        """Raises Conflict when the project has all of them."""
        taken = self._taken.get(project_id, 0)
        lowest = ~taken & (taken + 1)
        number = lowest.bit_length() - 1
        if number >= MAC_IDS:
            raise Conflict(
                f"The project has {MAC_IDS} VPCS, which is all that their MAC addresses allow; delete one first."
            )
        self._taken[project_id] = taken | lowest
        return number

    def release(self, project_id: str, number: int) -> None:
        """Give back what `lease` gave."""
        left = self._taken.pop(project_id) & ~(1 << number)
        if left:
            self._taken[project_id] = left
