"""What it costs to keep what is acknowledged: VMs made in a lab whose state is open, beside one whose state is not."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.effort import Effort
from bench.table import Row
from labplane.kernel import Kernel
from labplane.plugins.loading import installed
from labplane.settings import Settings

VMS = 250
GOAL = "at most 0.1 ms more"


async def state(effort: Effort) -> list[Row]:
    """Made in turn, in one process and without HTTP, so that nothing else differs."""
    added: list[float] = []
    for _ in range(effort.rounds):
        with TemporaryDirectory(prefix="labplane-bench-", dir=Path.cwd()) as directory:
            labs = [await _lab(Path(directory, name), ports) for name, ports in (("off", 31000), ("on", 32000))]
            kept, labs[0][0].state = labs[0][0].state, _Off()
            taken: list[list[float]] = [[], []]
            for _ in range(VMS):
                for (lab, project_id), times in zip(labs, taken, strict=True):
                    began = time.perf_counter()
                    path = "/v1/projects/{project_id}/vpcs/vms"
                    await lab.ask("POST", path, {"name": "PC"}, project_id=project_id)
                    times.append((time.perf_counter() - began) * 1000)
            for lab, _ in labs:
                await lab.end()
            await kept.close()
            added.append(sorted(taken[1])[VMS // 2] - sorted(taken[0])[VMS // 2])
    return [Row("create a VM: what its state adds, p50", "ms", added, [], GOAL, 0.1)]


class _Off:
    """A state that keeps nothing: the switch of this measurement, which the product does not have."""

    def next_position(self) -> int:
        return 0

    async def write(self, statements: Any = ()) -> list[Any]:
        return []

    def note(self, key: Any, *statements: Any) -> None:
        pass

    async def close(self) -> None:
        pass


async def _lab(projects: Path, ports: int) -> tuple[Any, str]:
    settings = Settings(projects_dir=str(projects), console_ports=f"{ports}-{ports + 750}", log_level="error")
    lab = Kernel(settings, installed())
    await lab.start()
    return lab, (await lab.ask("POST", "/v1/projects"))["project_id"]
