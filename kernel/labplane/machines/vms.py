"""The table of all VMs of a lab."""

from collections.abc import Iterator

from labplane.machines.vm import VM, Phase


class VMs:
    """Every VM of a lab, by id and by project. Iterating gives those of all projects."""

    def __init__(self) -> None:
        self._by_id: dict[str, VM] = {}
        self._by_project: dict[str, dict[str, VM]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[VM]:
        return iter(list(self._by_id.values()))

    def get(self, vm_id: str) -> VM | None:
        """The VM of that id, which may still be in the making; None when there is none."""
        return self._by_id.get(vm_id)

    def count(self, project_id: str) -> int:
        """How many VMs the project has, those in the making included."""
        return len(self._by_project.get(project_id, {}))

    def of(self, project_id: str) -> list[VM]:
        """The project's VMs, those in the making included, oldest first."""
        return list(self._by_project.get(project_id, {}).values())

    def add(self, vm: VM) -> None:
        """Take in a new VM. Raises ValueError when there is one of that id: its maker has not looked."""
        if self._by_id.setdefault(vm.id, vm) is not vm:
            raise ValueError(f"there is a VM {vm.id} already")
        self._by_project.setdefault(vm.project_id, {})[vm.id] = vm

    def discard(self, vm: VM) -> None:
        """Forget `vm`, which is gone from now on."""
        vm.phase = Phase.GONE
        vm.lab.macs.release(vm.id)
        del self._by_id[vm.id]
        siblings = self._by_project[vm.project_id]
        del siblings[vm.id]
        if not siblings:
            del self._by_project[vm.project_id]
