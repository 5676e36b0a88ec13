"""`Keeper`: a keeper or an engine as the server sees it. It is started when needed, found again, and outlived."""

import asyncio
import errno
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

from labplane.keeper import starting
from labplane.keeper.connection import Connection, Lost
from labplane_keeper import VERSION
from labplane_keeper.visiting import kill_group

log = logging.getLogger("labplane")

LINGER = 60.0
RETRIES = 5
ACKNOWLEDGED_AFTER = 0.1


class Follower(Protocol):
    """Whoever follows a run: its output, byte for byte, and its end.

    out_of_memory: set before it has ended: the limit in bytes for which it was ended, 0 when that was the system's.
    """

    out_of_memory: int | None

    def printed(self, data: bytes) -> None: ...

    def ended(self, status: int | None) -> None:
        """`status` as in subprocess; None when nobody knows, since the keeper has died and the run with it."""

    def complained(self, text: str) -> None: ...


class _Followed:
    def __init__(self, follower: Follower, pid: int, started: int, offset: int) -> None:
        self.follower, self.pid, self.started, self.offset = follower, pid, started, offset


Key = tuple[str, int]


class Keeper:
    """The keeper of `directory`, or, without one, a keeper of our own that ends with us.

    A function that gives the directory is called when it is needed.

    start: starts an engine in the directory, for which this then is.
    """

    def __init__(
        self,
        directory: Path | Callable[[], Path] | None,
        start: Callable[[Path], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._place = directory
        self._directory: Path | None = None
        self._bound = directory is None
        self._start = start or self._start_keeper
        self._upgrades = start is None
        self._name = "keeper" if start is None else "engine"
        self._connection: Connection | None = None
        self._instance = ""
        self._pid = 0
        self._followed: dict[Key, _Followed] = {}
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def hello(self) -> dict[str, Any]:
        """What the program says of itself; empty when none is there."""
        return self._connection.hello if self._connection is not None and not self._connection.closed else {}

    async def find(self) -> bool:
        """Connect to the program if it is there; False when it is not."""
        try:
            await self._connected(may_start=False)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    async def ask(self, op: str, data: bytes = b"", descriptors: Sequence[int] = (), **members: Any) -> dict[str, Any]:
        """The reply to a request, which is repeated when the program was replaced or died meanwhile. Raises OSError."""
        for _ in range(RETRIES):
            connection = await self._connected()
            try:
                return await connection.ask(op, data, descriptors, **members)
            except Lost:
                continue
            except OSError as error:
                if error.errno != errno.ESHUTDOWN or self._closed:
                    raise
                await connection.lost.wait()  # it is about to be replaced, or has been told to end
        raise Lost(f"The {self._name} of {self._directory} ends again and again; its log there says why.")

    def tell(self, op: str, data: bytes = b"", **members: Any) -> None:
        """Make a request without a reply; while the program is being replaced it waits."""
        if self._connection is not None:
            self._connection.tell(op, data, **members)

    def follow(self, run: dict[str, Any], follower: Follower, offset: int = 0) -> None:
        """Tell `follower` of `run` all that it prints from `offset` on, and its end; then it may be forgotten.

        Of a run that is yet to be started there are only id and generation. Its output has to be asked for, with
        `read`, unless it is started with that.
        """
        key = run["id"], run["generation"]
        self._followed[key] = _Followed(follower, run.get("pid", 0), run.get("started", 0), offset)

    def is_started(self, run: dict[str, Any]) -> None:
        """Take note of the process of a run that was followed before it was started."""
        if (one := self._followed.get((run["id"], run["generation"]))) is not None:
            one.pid, one.started = run["pid"], run["started"]

    def read(self, run_id: str, generation: int, offset: int) -> None:
        """Ask for all that a run that is followed printed, and prints, from `offset` on."""
        if self._connection is not None:
            _read(self._connection, run_id, generation, offset)

    def unfollow(self, run: dict[str, Any]) -> None:
        """Tell nobody of `run` any more."""
        self._followed.pop((run["id"], run["generation"]), None)

    async def quit(self, patience: float = 0.0, wait: float = 5.0) -> None:
        """End the program and all that it runs, and wait until it has ended. The followers are told."""
        self._closed = True
        connection = self._connection
        if connection is None or connection.closed:
            return
        connection.tell("quit", patience=patience)
        deadline = time.monotonic() + patience + wait
        while not connection.closed and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        connection.close()
        await self._reaped()

    def close(self) -> None:
        """Leave the program and all that it runs as they are."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    async def _connected(self, *, may_start: bool = True) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        async with self._opening:
            if self._connection is not None and not self._connection.closed:
                return self._connection
            if self._place is not None:
                self._directory = self._place() if callable(self._place) else self._place
            elif self._directory is None:
                if not may_start:
                    raise FileNotFoundError(f"There is no {self._name}.")
                self._directory = Path(tempfile.mkdtemp(prefix="labplane-"))
            try:
                connection = await self._greet()
            except (FileNotFoundError, ConnectionRefusedError):
                self._all_are_gone()
                await self._reaped()
                if not may_start or self._closed:
                    raise
                await self._start(self._directory)
                connection = await self._greet()
            if self._upgrades and connection.hello["version"] < VERSION:
                connection = await self._upgrade(connection)
            same = connection.hello["instance"] == self._instance
            await self._take_up(connection)
            if same and self._connection is not None:
                connection.send_again(self._connection.unsent)
            self._connection = connection
            return connection

    async def _start_keeper(self, directory: Path) -> None:
        self._pid = await asyncio.to_thread(starting.start, directory, LINGER, self._bound)

    async def _reaped(self) -> None:
        """Let go of the program, if this process started it; it has ended, or is about to."""
        if self._pid:
            await asyncio.to_thread(starting.reap, self._pid)
            self._pid = 0

    async def _greet(self) -> Connection:
        assert self._directory is not None  # noqa: S101 - `_connected` has made one
        connection = Connection(starting.connected(self._directory), "server", self._event, self._lost)
        await connection.ready()
        return connection

    async def _upgrade(self, old: Connection) -> Connection:
        """The same keeper with the program of this labplane; it goes on with its own when it refuses that."""
        archive = await asyncio.to_thread(starting.archive)
        try:
            await old.ask("upgrade", b"", [archive], python=sys.executable, file=0)
        except Lost:
            pass
        except OSError as error:
            log.warning("The keeper in %s stays as it is: %s", self._directory, error.strerror or error)
            return old
        finally:
            os.close(archive)
        await old.lost.wait()
        new = await self._greet()
        log.info("The keeper in %s is upgraded from version %s", self._directory, old.hello["version"])
        return new

    async def _take_up(self, connection: Connection) -> None:
        """Follow on from where we were those that are there, and take note of the end of those that are not."""
        instance = connection.hello["instance"]
        if instance != self._instance:
            self._all_are_gone()
        self._instance = instance
        if not self._followed:
            return
        there = {(run["id"], run["generation"]) for run in (await connection.ask("list"))["runs"]}
        for key, one in list(self._followed.items()):
            if key in there:
                _read(connection, *key, one.offset)
            elif one.pid:
                self._is_gone(key)

    def _all_are_gone(self) -> None:
        """The program that ran them has died, and its terminals with it; who does not heed that is killed."""
        for key in list(self._followed):
            if (one := self._followed[key]).pid:
                kill_group(one.pid, one.started)
                self._is_gone(key)

    def _is_gone(self, key: Key) -> None:
        self._followed.pop(key).follower.ended(None)

    def _lost(self) -> None:
        if self._closed:
            self._all_are_gone()
            return
        task = asyncio.ensure_future(self._find_again())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_again(self) -> None:
        """Connect again, at once, so that nothing is missed; a program that has died is started again when needed."""
        try:
            await self._connected(may_start=False)
        except (FileNotFoundError, ConnectionRefusedError):
            log.error("The %s in %s has ended, and all that it ran with it.", self._name, self._directory)
        except OSError as error:
            log.error("The %s in %s cannot be reached: %s", self._name, self._directory, error)

    def _event(self, event: dict[str, Any], data: bytes) -> None:
        key = event["id"], event["generation"]
        one = self._followed.get(key)
        if one is None:
            return
        if event["event"] == "output":
            data = data[max(0, one.offset - event["offset"]) :]  # what we had before
            one.offset = max(one.offset, event["offset"]) + len(data)
            if data:
                one.follower.printed(data)
        elif event["event"] == "exit":
            del self._followed[key]
            one.follower.out_of_memory = event.get("out_of_memory")
            one.follower.ended(event["status"])
            asyncio.get_running_loop().call_later(ACKNOWLEDGED_AFTER, self._forget, key)
        elif event["event"] == "complaint":
            one.follower.complained(event["text"])

    def _forget(self, key: Key) -> None:
        """Acknowledge an end, which is written down by now."""
        self.tell("forget", id=key[0], generation=key[1])


def _read(connection: Connection, run_id: str, generation: int, offset: int) -> None:
    members: dict[str, Any] = {"id": run_id, "generation": generation, "from": offset}
    connection.tell("read", **members)
