"""`Engine`: the process for machines that are no programs, as the server sees it; `EngineMachine`: one of them."""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from labplane.emulators.terminals import Terminals
from labplane.emulators.users import User, give
from labplane.keeper.client import Keeper

RUN = "engine"  # its name among the runs of the keeper, where VMs have their ids
LINGER = 60.0
READY = b"ready\n"
READY_WITHIN = 30.0
RING = 4096
MOST_DATA = 64 * 1024
LOST = -1


class EngineMachine:
    """A machine in the engine, a `Running`.

    run:  names this run among those of its VM, for viewers that come again (`Console.go_on`).
    note: as it was given to `spawn`, of one that was adopted.
    lost: whether it ended because the engine did.
    """

    def __init__(
        self,
        keeper: Keeper,
        name: dict[str, Any],
        on_output: Callable[[bytes], None],
        on_exit: Callable[[int], None],
        complain: Callable[[str], None],
        note: Any = None,
    ) -> None:
        self.run = str(name["generation"])
        self.note = note
        self.returncode: int | None = None
        self.lost = False
        self.out_of_memory: int | None = None
        self._keeper, self._name = keeper, name
        self._on_output, self._on_exit, self._complain = on_output, on_exit, complain
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        """Type `data` at its console."""
        for at in range(0, len(data), MOST_DATA):
            self._keeper.tell("write", data[at : at + MOST_DATA], **self._name)

    async def stop(self) -> int:
        """End it; its returncode."""
        if self.returncode is None:
            with suppress(ProcessLookupError, ConnectionError):
                await self._keeper.ask("end", patience=0, **self._name)
        return await asyncio.shield(self._ended)

    def leave(self) -> None:
        """Stay there when the server ends; the next one adopts it."""

    def printed(self, data: bytes) -> None:
        """Pass on what it printed; for the client."""
        self._on_output(data)

    def complained(self, text: str) -> None:
        """Pass on what the engine complains of; for the client."""
        self._complain(text)

    def ended(self, status: int | None) -> None:
        """Take note of its end; for the client."""
        self.lost = status is None
        self.returncode = LOST if status is None else status
        self._ended.set_result(self.returncode)
        self._on_exit(self.returncode)


class Engine:
    """The engine of `directory`, which the keeper is asked to start when the first machine needs it.

    It is a run of the keeper, and ends when that does, as emulators do.

    terminals: has the keeper.
    directory: a function gives it when it is needed.
    user:      who it runs as, None for the server's own.
    """

    def __init__(self, terminals: Terminals, directory: Callable[[], Path], user: User | None = None) -> None:
        self._terminals = terminals
        self._user = user
        self._names: set[str] = set()
        self._left: dict[str, dict[str, Any]] | None = None  # by an earlier server, until `end_others`
        self._keeper = Keeper(directory, self._launch)
        terminals.claimed.add(RUN)

    async def spawn(
        self,
        machine: str,
        settings: Mapping[str, Any],
        directory: Path,
        descriptors: Sequence[int] = (),
        *,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[int], None],
        complain: Callable[[str], None] = lambda _: None,
        name: str,
        note: Any = None,
        ring: int = RING,
    ) -> EngineMachine:
        """Make a machine in the engine and return once it runs.

        machine:     its class, as ``package.module:Class``; see `labplane_engine`.
        settings:    what it is called with, in JSON types.
        directory:   its working directory, of which it gets a descriptor, and which its user may write in.
        descriptors: what it gets after that; the engine has copies, the caller closes its own.
        name:        of the run; an earlier one of that name must have ended.
        ring:        how many bytes of its output the engine remembers.

        Raises OSError when it cannot be made.
        """
        run = {"id": name, "generation": time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000}
        made = EngineMachine(self._keeper, run, on_output, on_exit, complain)
        members = {"machine": machine, "settings": dict(settings), "note": note, "ring": ring, "read": True}
        if self._user is not None:
            await asyncio.to_thread(give, directory, self._user)
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        starting = asyncio.ensure_future(self._start(made, run, members, [place, *descriptors]))
        starting.add_done_callback(lambda _: os.close(place))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(OSError):
                await starting
                await made.stop()
            raise
        return made

    async def _start(
        self, made: EngineMachine, run: dict[str, Any], members: dict[str, Any], descriptors: Sequence[int]
    ) -> None:
        self._keeper.follow(run, made)
        try:
            started = await self._keeper.ask("spawn", descriptors=descriptors, **run, **members)
        except OSError:
            self._keeper.unfollow(run)
            raise
        self._keeper.is_started(started)
        self._names.add(run["id"])

    async def adopt(
        self,
        name: str,
        *,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[int], None],
        on_found: Callable[[str, int], None],
        complain: Callable[[str], None] = lambda _: None,
    ) -> EngineMachine | None:
        """The machine of that name that an earlier server has left; first comes what is remembered of its output.

        on_found: called before that with the machine's `run` and the number of the first byte to come.

        None when there is none that runs. Raises OSError.
        """
        if self._left is None:
            self._left = {run["id"]: run for run in await self._runs()}
        run = self._left.get(name)
        if run is None or run["status"] is not None:
            return None
        known = {"id": run["id"], "generation": run["generation"]}
        machine = EngineMachine(self._keeper, known, on_output, on_exit, complain, run["note"])
        on_found(machine.run, run["begin"])
        self._keeper.follow(run, machine, run["begin"])
        self._names.add(name)
        self._keeper.read(name, run["generation"], run["begin"])
        return machine

    async def end_others(self) -> None:
        """End what an earlier server has left and nobody has adopted. Raises OSError."""
        self._left = None
        for run in await self._runs():
            if run["id"] not in self._names:
                name = {"id": run["id"], "generation": run["generation"]}
                if run["status"] is None:
                    await self._keeper.ask("end", patience=0, **name)
                await self._keeper.ask("forget", **name)

    async def _runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._keeper.ask("list"))["runs"] if await self._keeper.find() else []
        return found

    def leave(self) -> None:
        """Leave the engine, with all that runs there, to the next server."""
        self._keeper.close()

    async def status(self) -> dict[str, Any] | None:
        """The engine's figures: `runs` that go on, `rss` in bytes, `cpu` in seconds; None when no engine is there.

        Raises OSError.
        """
        return await self._keeper.ask("status") if await self._keeper.find() else None

    async def end(self) -> None:
        """End the engine and all its machines."""
        await self._keeper.quit()

    async def _launch(self, directory: Path) -> None:
        """Have the keeper start the engine, unless it has done so, and wait until it is ready. Raises OSError."""
        place = await asyncio.to_thread(_made, directory)
        start = _Start()
        identity = (-1, -1) if self._user is None else (self._user.uid, self._user.gid)
        command = [sys.executable, "-I", "-m", "labplane_engine", place, str(LINGER)]
        try:
            process = await self._terminals.spawn(
                [*command, *map(str, identity)],
                cwd=directory,
                on_output=start.printed,
                on_exit=start.ended,
                environment={},
                raw=True,
                limits={resource.RLIMIT_NOFILE: resource.getrlimit(resource.RLIMIT_NOFILE)[1]},
                log=directory / "log",
                name=RUN,
                note={"kind": "engine"},
            )
        except FileExistsError:  # an earlier server had it started, and it has no socket yet
            (run,) = [run for run in await self._terminals.runs() if run["id"] == RUN]
            process = self._terminals.adopt(run, start.printed, start.ended)
        try:
            async with asyncio.timeout(READY_WITHIN):
                await start.is_over.wait()
        except TimeoutError:
            process.kill()
        if not start.is_ready:
            words = start.said.decode(errors="replace").strip().rsplit("\n", 1)[-1]
            raise ChildProcessError(f"The engine of {directory} does not start: {words or 'it says nothing'}")


def _made(directory: Path) -> str:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(directory.absolute())


class _Start:
    """What an engine says while it starts."""

    def __init__(self) -> None:
        self.said = b""
        self.is_ready = False
        self.is_over = asyncio.Event()

    def printed(self, data: bytes) -> None:
        if not self.is_over.is_set():
            self.said += data
            if READY in self.said:
                self.is_ready = True
                self.is_over.set()

    def ended(self, status: int) -> None:
        self.is_over.set()
