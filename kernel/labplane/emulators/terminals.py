"""Emulator processes, each on a terminal (pty) that the keeper owns and that is its controlling terminal."""

import asyncio
import errno
import os
import resource
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from labplane.emulators import confinement
from labplane.emulators.confinement import Needs
from labplane.emulators.keys import modes
from labplane.emulators.limits import Limiting
from labplane.emulators.preparing import Prepared, prepared
from labplane.emulators.users import User
from labplane.errors import Busy
from labplane.keeper.client import Keeper
from labplane_keeper.clients import MOST_DATA

RING = 16 * 1024
NICE = 10
ALWAYS = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: 4096}


class Process:
    """A running program: its output is passed to `on_output`, its returncode to `on_exit`.

    pid:        of the process, which leads a session and a process group of its own.
    returncode: None while it runs, then as in subprocess (negative: the signal that ended it).
    lost:       whether it has ended because its keeper has.
    out_of_memory: the limit in bytes for which it was ended, 0 when the system had no memory left; else None.
    """

    def __init__(
        self,
        keeper: Keeper,
        name: Mapping[str, Any],
        on_output: Callable[[bytes], None],
        on_exit: Callable[[int], None],
        complain: Callable[[str], None],
        running: set["Process"],
    ) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self.lost = False
        self.out_of_memory: int | None = None
        self._keeper, self._name = keeper, name
        self._on_output, self._on_exit, self._complain = on_output, on_exit, complain
        self._running = running
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def run(self) -> str:
        """A name of this run of the program, which it keeps over a restart of the server."""
        return str(self._name["generation"])

    def write(self, data: bytes) -> None:
        """Type `data` on the terminal. Beyond 64 KiB that the program has not read, it is lost."""
        if self.returncode is None:
            self._keeper.tell("write", data[:MOST_DATA], **self._name)

    async def wait(self) -> int:
        """The returncode, once the process has ended and all that it printed was passed on."""
        return await asyncio.shield(self._ended)

    async def stop(self, patience: float = 3.0) -> int:
        """SIGTERM, SIGKILL after `patience` seconds, both to the whole process group; the returncode."""
        if self.returncode is None:
            with suppress(ProcessLookupError, ConnectionError):
                await self._keeper.ask("end", patience=patience, **self._name)
        return await self.wait()

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        if self.returncode is None:
            self._keeper.tell("signal", number=signal.SIGKILL, **self._name)

    def give_way(self) -> None:
        """Let the server go first where processors are short, as far as this system allows.

        Linux weighs sessions against each other (man 7 sched, autogroup), so a process's own nice value would change
        nothing: a hundred busy emulators would leave the server a hundredth of the machine.
        """
        if self.returncode is None:
            self._keeper.tell("weigh", nice=NICE, **self._name)

    def printed(self, data: bytes) -> None:
        """Pass on what it printed; for the keeper's client."""
        self._on_output(data)

    def complained(self, text: str) -> None:
        """Pass on what the keeper complains of; for the keeper's client."""
        self._complain(text)

    def ended(self, status: int | None) -> None:
        """Take note of its end; for the keeper's client."""
        self._running.discard(self)
        self.lost = status is None
        self.returncode = -signal.SIGHUP if status is None else status
        if not self._ended.done():
            self._ended.set_result(self.returncode)
        self._on_exit(self.returncode)


class Terminals:
    """Starts programs on terminals, through the keeper of `directory`, which owns them.

    Without a directory it is a keeper of its own, which ends with this process, and with it all that it runs.

    ring: how many bytes of each program's output the keeper remembers.

    claimed: names of runs that belong to somebody else than a VM, and are not ended at the start of a server.
    """

    def __init__(self, directory: Path | Callable[[], Path] | None = None, ring: int = RING) -> None:
        self.keeper = Keeper(directory)
        self._ring = ring
        self.claimed: set[str] = set()
        self._running: set[Process] = set()
        self._limiting: tuple[dict[str, Any], Limiting] | None = None  # with the greeting of the keeper that said so

    @property
    def can_confine(self) -> bool:
        """True when this Linux has Landlock."""
        return confinement.version() > 0

    async def runs(self) -> list[dict[str, Any]]:
        """What a keeper that is there already runs or has run, each as docs/keeper.md has it. Raises OSError."""
        found: list[dict[str, Any]] = (await self.keeper.ask("list"))["runs"] if await self.keeper.find() else []
        return found

    async def status(self) -> dict[str, Any] | None:
        """The keeper's figures: `runs` of VMs that go on, `rss` in bytes, `cpu` in seconds; None without a keeper.

        Raises OSError.
        """
        if not await self.keeper.find():
            return None
        others = [run for run in await self.runs() if run["id"] in self.claimed and run["status"] is None]
        status = await self.keeper.ask("status")
        return {**status, "runs": status["runs"] - len(others)}

    def adopt(
        self,
        run: dict[str, Any],
        on_output: Callable[[bytes], None] = lambda _: None,
        on_exit: Callable[[int], None] = lambda _: None,
        complain: Callable[[str], None] = lambda _: None,
    ) -> Process:
        """The process of `run`, which the keeper runs or has run; what it remembers of its output comes first."""
        name = {"id": run["id"], "generation": run["generation"]}
        process = Process(self.keeper, name, on_output, on_exit, complain, self._running)
        process.pid = run["pid"]
        self._running.add(process)
        self.keeper.follow(run, process, run["begin"])
        self.keeper.read(run["id"], run["generation"], run["begin"])
        return process

    async def limiting(self) -> Limiting:
        """What the keeper can limit by cgroups; when it is asked first it makes itself ready. Raises OSError."""
        if self._limiting is None or self._limiting[0] is not self.keeper.hello:
            try:
                found = await self.keeper.ask("groups")
                limiting = Limiting(tuple(found["controllers"]) if found["top"] else (), found["reason"])
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
                limiting = Limiting(reason="the keeper is one of an earlier labplane")
            self._limiting = self.keeper.hello, limiting
        return self._limiting[1]

    async def warm_up(self) -> None:
        """Start the keeper now, so that the first program does not wait for it. Raises OSError."""
        await self.keeper.ask("status")

    def kill_all(self) -> None:
        """Send SIGKILL to all programs that still run; the last resort at the server's end."""
        for process in self._running:
            process.kill()

    async def end(self) -> None:
        """End the keeper, and all that runs with SIGKILL."""
        self.kill_all()
        await self.keeper.quit()

    def leave(self) -> None:
        """Leave the keeper, with all that runs, to the next server."""
        self.keeper.close()

    async def spawn(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[int], None],
        environment: Mapping[str, str] | None = None,
        needs: Needs | None = None,
        user: User | None = None,
        timer_slack: float = 0.0,
        sigpipe: bool = True,
        keys: Collection[str] = (),
        raw: bool = False,
        limits: Mapping[int, int] = MappingProxyType({}),
        log: Path | None = None,
        complain: Callable[[str], None] = lambda _: None,
        inherit: Mapping[int, int] = MappingProxyType({}),
        name: str | None = None,
        note: Any = None,
        group: Mapping[str, Any] | None = None,
    ) -> Process:
        """Start `command` in the directory `cwd`; the callbacks run in the event loop.

        command:     argument list; the first is the absolute path of the program.
        environment: what the process finds there; by default PATH, HOME, LANG and TERM. LABPLANE_RUN, by which what it
                     leaves is found, is always there.
        needs:       what the process may do besides executing itself and working in `cwd`; None means anything.
        user:        who it runs as, None for the server's own.
        timer_slack: seconds that its timers may be late, 0 for as few as usual.
        sigpipe:     whether SIGPIPE ends it, or is ignored.
        keys:        on which the terminal itself acts, see `keys.act_only_on`.
        raw:         whether it acts on none, echoes nothing and changes nothing.
        limits:      of its resources, by their numbers in `resource`, besides those of `ALWAYS`.
        log:         the file, in a directory that is there, to which its output is written, see `LogFile`.
        complain:    called with a sentence when something of less weight goes wrong.
        inherit:     further descriptors of ours that it finds, by the numbers, above 2, at which it finds them.
        name:        of the run in the keeper, at most one of which runs; a new one by default.
        note:        what the keeper tells whoever asks what runs, in JSON types.
        group:       in whose cgroup it is, with its limits, where `limiting` has prepared that; see `Limits.group`.

        Raises OSError when the program cannot be executed.
        """
        if environment is None:
            environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
            environment["TERM"] = "vt100"
        members: dict[str, Any] = {
            "command": [os.fsdecode(argument) for argument in command],
            "environment": dict(environment),
            "user": None if user is None else [user.uid, user.gid],
            "timer_slack": round(timer_slack * 1e9),
            "sigpipe": sigpipe,
            "limits": list({**ALWAYS, **limits}.items()),
            "keys": None if raw else frozenset(keys),
            "ring": self._ring,
            "note": note,
            "group": group,
            "read": True,
        }
        run = {"id": name or str(uuid4()), "generation": time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000}
        process = Process(self.keeper, run, on_output, on_exit, complain, self._running)
        with await prepared(command, cwd, needs, log, inherit) as ready:
            starting = asyncio.ensure_future(self._start(process, run, members, ready))
            try:
                await asyncio.shield(starting)
            except asyncio.CancelledError:
                with suppress(OSError, Busy):
                    await starting
                    process.kill()
                    await process.wait()
                raise
        return process

    async def _start(self, process: Process, run: dict[str, Any], members: dict[str, Any], ready: Prepared) -> None:
        self.keeper.follow(run, process)
        try:
            members["modes"] = modes(members.pop("keys"))
            started = await self.keeper.ask("spawn", descriptors=ready.descriptors, **run, **members, **ready.members)
        except OSError as error:
            self.keeper.unfollow(run)
            if error.errno == errno.ENOSPC:  # of the devices, not of a disk
                raise Busy(
                    "The system has no pseudo-terminal left (kernel.pty.max). Stop some VMs and try again."
                ) from None
            raise
        process.pid = started["pid"]
        self.keeper.is_started(started)
        if process.returncode is None:
            self._running.add(process)
