"""Whatever clients do at once, each operation looks again after it has waited: nothing is lost, leaked or left hanging.

LABPLANE_STORM says how many rounds, LABPLANE_STORM_SEED which requests; a failure prints the seed that reproduces it.
"""

import asyncio
import os
import secrets
import socket
from pathlib import Path

from storm import Storm
from support import free_range, running

ROUNDS = int(os.environ.get("LABPLANE_STORM", "4"))
SEED = int(os.environ.get("LABPLANE_STORM_SEED", secrets.randbelow(10**6)))


def test_nothing_is_lost_or_left_hanging_in_a_storm(tmp_path: Path) -> None:
    udp = free_range(200, socket.SOCK_DGRAM)
    with running(tmp_path / "projects", "--local", consoles=free_range(100), udp=udp) as server:
        storm = Storm(server, tmp_path / "moved", SEED)

        async def main() -> None:
            for _ in range(ROUNDS):
                await storm.round()
                if storm.complaints:
                    break
            await storm.end()

        asyncio.run(main())
        found = "\n".join(storm.complaints[:10])
        assert not storm.complaints, (
            f"LABPLANE_STORM_SEED={SEED} reproduces it, after {storm.replies} replies:\n{found}"
        )
    print(f"seed {SEED}: {storm.replies} replies")
