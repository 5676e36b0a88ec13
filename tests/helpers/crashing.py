"""What the tests of crashes share: how long they go on, the seed, the work at which the server is killed."""

import asyncio
import os
import random
import secrets
from collections.abc import Callable
from contextlib import suppress

import httpx2

from acknowledged import SECONDS, Client, Seen
from lives import Lives
from pinging import Pinging
from support import Server
from survival import Survivors

KILLS = int(os.environ.get("LABPLANE_CRASH", "20"))
SEED = int(os.environ.get("LABPLANE_CRASH_SEED", secrets.randbelow(10**6)))
IN_FULL = KILLS >= 100
CLIENTS = 6
REPLIES = 40  # at most, between one kill and the next


class Crash:
    """A server with clients that work on it and PCs that ping each other, and what survives when it is killed.

    chance: the generator of all that the clients do not choose.
    """

    def __init__(self, lives: Lives) -> None:
        self.lives = lives
        self.chance = random.Random(SEED)  # noqa: S311 - the same each time is what it is for
        self.clients = [Client(lives, SEED, number) for number in range(CLIENTS)]
        self.survivors = Survivors(self.clients)
        self.pinging = Pinging(lives)

    @property
    def replies(self) -> int:
        return sum(client.replies for client in self.clients)

    def work(self, replies: int) -> None:
        """Let all clients work at once until so many replies have come."""
        most = self.replies + replies

        async def main() -> None:
            async with httpx2.AsyncClient(base_url=self.lives.server.url, timeout=SECONDS, trust_env=False) as http:
                await asyncio.gather(*(client.run(http, lambda: self.replies >= most) for client in self.clients))

        asyncio.run(main())

    def work_until_killed(self, kill: Callable[[], None], replies: int) -> None:
        """Let all clients work at once until the server has ended.

        kill: ends it, if nothing else does; called after so many replies and a moment, or when one must not be.
        """
        before, moment = self.replies, self.chance.uniform(0, 0.005)
        ended = self.lives.server.process.poll

        async def killer() -> None:
            while (
                ended() is None and self.replies < before + replies and not any(one.complaints for one in self.clients)
            ):
                await asyncio.sleep(0.001)
            await asyncio.sleep(moment)
            with suppress(ProcessLookupError):
                kill()

        async def main() -> None:
            async with httpx2.AsyncClient(base_url=self.lives.server.url, timeout=SECONDS, trust_env=False) as http:
                await asyncio.gather(
                    killer(), *(client.run(http, lambda: ended() is not None) for client in self.clients)
                )

        asyncio.run(main())

    def all_stopped(self) -> bool:
        """Whether the server shows no VM as started."""
        shown = self.lives.server.http.get("/v1/status").json()
        return not [vm for project in shown["projects"] for vm in project["vms"] if vm["status"] != "stopped"]

    def look(self, what: str, *, died: bool = True, ended: bool = False) -> None:
        """Fail unless everything is as it must be after `what`.

        died:  the server has, and was started again.
        ended: the machines have ended.
        """
        found = [complaint for client in self.clients for complaint in client.complaints]
        if ended:
            found += [f"{one} has outlived its keeper" for one in self.pinging.processes if one.runs]
        else:
            found += self.pinging.complaints()
        found += self.survivors.look(Seen.at(self.lives, {self.pinging.id}), died=died, ended=ended)
        told = "\n".join(found[:10])
        log = "\n".join(troubles(self.lives.server))
        assert not found, (
            f"LABPLANE_CRASH_SEED={SEED} LABPLANE_CRASH={KILLS} reproduces it, after {what}:\n{told}\n{log}"
        )


def troubles(server: Server) -> list[str]:
    """What the log of the server says beside what it did."""
    return [line for line in server.log.splitlines() if " INFO " not in line][-40:]
