"""`State`: what a lab must not forget, written to its database before the reply that acknowledges it."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from labplane.errors import Conflict, LabError, answer_to
from labplane.state.checkpoints import Checkpoints
from labplane.state.database import NAME, VERSION, Durability, last_position, open_database, read_database, refusal
from labplane.state.directory import DATA, Lock, make_data_directory, refuse_network

log = logging.getLogger("labplane.state")

RETRY_SECONDS = 1.0

Statement = tuple[str, Sequence[Any]]
Row = tuple[Any, ...]
Outcomes = tuple[LabError | None, list[list[Row] | LabError]]  # why nothing was written; what became of each batch


class _Batch(NamedTuple):
    """Statements that are written together or not at all, and who waits for that."""

    statements: Sequence[Statement]
    done: asyncio.Future[list[Row]]


class State:
    """The database of one lab. Until it is opened, and once it is closed, nothing is kept.

    projects: gives the directory of projects, once it is needed.
    trouble:   why nothing can be written now, None when it can.
    measure:   is told the seconds of each commit.

    All that is written in one turn of the event loop is one transaction. With the durability "normal" it is committed
    on the loop, without a wait for the disk: what is committed outlives the server however that ends, and a power cut
    costs the last second at most. With "full" a thread commits, and what is committed is on the disk.
    """

    def __init__(self, projects: Callable[[], Path], durability: Durability) -> None:
        self.trouble: LabError | None = None
        self._find_projects = projects
        self._durability: Durability = durability
        self._lock: Lock | None = None
        self._writing: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None  # a copy, while nothing can be written
        self._checkpoints: Checkpoints | None = None
        self._writer = ThreadPoolExecutor(1, "state") if durability == "full" else None
        self._batches: list[_Batch] = []
        self._notes: dict[Hashable, Sequence[Statement]] = {}
        self._is_open = self._busy = False
        self._retry: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._positions = count(1)
        self.measure: Callable[[float], None] = lambda _: None

    @property
    def directory(self) -> Path:
        """The data directory, in that of the projects."""
        return self._projects / DATA

    @cached_property
    def _projects(self) -> Path:
        return self._find_projects()

    async def open(self) -> None:
        """Lock the directory and open the database; a disk that is full or read-only is told and no obstacle.

        Raises Conflict when another server works there, when the directory cannot be used, and when the database is
        damaged, from a newer labplane, or on a file system of the network.
        """
        try:
            await asyncio.to_thread(self._prepare)
        except OSError as error:
            raise Conflict(
                f"{self._projects} cannot be the projects directory: {error.strerror}; set projects_dir to another."
            ) from None
        try:
            try:
                await asyncio.to_thread(self._open)
            except (OSError, sqlite3.Error) as error:
                self._in_trouble(self._refusal(error))
                self._reading = await asyncio.to_thread(read_database, self.directory)
            known = self._writing or self._reading
            assert known is not None  # noqa: S101 - one of them was opened
            self._positions = count(await asyncio.to_thread(last_position, known) + 1)
        except BaseException:
            self._let_go()
            raise
        self._is_open = True

    def next_position(self) -> int:
        """A number for a new row, by which it keeps its place after all that were made before."""
        return next(self._positions)

    async def write(self, statements: Sequence[Statement] = ()) -> list[Row]:
        """Write `statements`, all or nothing; when this returns they are kept, and so are earlier notes.

        Returns the rows of the last one. Raises LabError when they cannot be written; Conflict when there is a row
        already that may be there once only.
        """
        if not self._is_open:
            return []
        batch = _Batch(statements, asyncio.get_running_loop().create_future())
        self._batches.append(batch)
        self._wake()
        return await batch.done

    def note(self, key: Hashable, *statements: Statement) -> None:
        """Write `statements` soon; nobody waits for it, and what cannot be written is tried again each second.

        key: another note with the same one takes its place, if it is not written yet.
        """
        if self._is_open:
            self._notes.pop(key, None)
            self._notes[key] = statements
            self._wake()

    async def close(self) -> None:
        """Write what is left and let go of the database and the directory."""
        with suppress(LabError):
            await self.write()
        self._is_open = False
        if self._retry is not None:
            self._retry.cancel()
        writing, reading, self._writing, self._reading = self._writing, self._reading, None, None
        if self._notes:
            log.error("the last %s changes are not kept: %s", len(self._notes), self.trouble)
        await asyncio.to_thread(self._let_go, writing, reading)

    def _let_go(self, *connections: sqlite3.Connection | None) -> None:
        if self._writer is not None:
            self._writer.shutdown()
        if self._checkpoints is not None:
            self._checkpoints.end()
        for connection in connections:
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _prepare(self) -> None:
        with suppress(FileExistsError):
            self._projects.mkdir(parents=True)
        self._lock = Lock(self._projects)
        try:
            refuse_network(self._projects)
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        if self._lock is not None and self._lock.on_directory:
            earlier, self._lock = self._lock, Lock(self._projects, on_file=True)
            earlier.release()
        make_data_directory(self._projects)
        self._writing = open_database(self.directory, self._durability)
        if self._checkpoints is None:
            self._checkpoints = Checkpoints(self.directory / NAME)

    def _wake(self) -> None:
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._flush)  # after all else that this turn has to do

    def _flush(self) -> None:
        batches, self._batches = self._batches, []
        notes, self._notes = self._notes, {}
        noted = [*chain.from_iterable(notes.values())]
        self._began = time.perf_counter()
        if self._writer is None:
            self._flushed(notes, batches, self._commit(noted, batches))
        else:
            committing = asyncio.get_running_loop().run_in_executor(self._writer, self._commit, noted, batches)
            committing.add_done_callback(lambda done: self._flushed(notes, batches, done.result()))

    def _flushed(
        self,
        notes: dict[Hashable, Sequence[Statement]],
        batches: list[_Batch],
        outcomes: Outcomes,
    ) -> None:
        self._busy = False
        self.measure(time.perf_counter() - self._began)
        why, of_batches = outcomes
        if why is not None:
            self._notes = {**notes, **self._notes}
            self._in_trouble(why)
        elif self.trouble is not None:
            log.warning("the state of the lab can be written again")
            self.trouble = None
        for batch, outcome in zip(batches, of_batches, strict=True):
            if batch.done.cancelled():
                continue
            if isinstance(outcome, LabError):
                batch.done.set_exception(outcome)
            else:
                batch.done.set_result(outcome)
        if self._batches or (self._notes and self.trouble is None):
            self._wake()

    def _in_trouble(self, why: LabError) -> None:
        if self.trouble is None:
            log.error(
                "the state of the lab cannot be written, so nothing can be created, changed or deleted: %s Showing, "
                "stopping and what runs go on; it is tried again.",
                why,
            )
        self.trouble = why
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._wake()

    def _commit(self, notes: Sequence[Statement], batches: Sequence[_Batch]) -> Outcomes:
        """Write all that. Runs in the writer's thread when there is one."""
        if self._writing is None:
            try:
                self._open()
            except (OSError, sqlite3.Error, LabError) as error:
                return self._read_only(batches, self._refusal(error))
        try:
            try:
                return None, [*self._transact(notes, batches)]
            except sqlite3.IntegrityError:  # one of them; find out which
                self._transact(notes, [])
                return None, [self._transact_alone(batch) for batch in batches]
        except sqlite3.Error as error:
            self._give_up(error)
            why = self._refusal(error)
        except Exception:  # whoever waits must not wait for ever
            log.exception("the state of the lab cannot be written")
            why = LabError("labplane failed at writing its state; its log says why.")
        finally:
            if self._checkpoints is not None:
                self._checkpoints.want()
        return why, [why] * len(batches)

    def _transact(self, notes: Sequence[Statement], batches: Sequence[_Batch]) -> list[list[Row]]:
        connection = self._writing
        assert connection is not None  # noqa: S101 - opened
        connection.execute("BEGIN IMMEDIATE")
        try:
            if self.trouble is not None:
                connection.execute(f"PRAGMA user_version = {VERSION}")  # for to write nothing always succeeds
            for sql, parameters in notes:
                connection.execute(sql, parameters)
            rows = [_run(connection, batch.statements) for batch in batches]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise
        return rows

    def _transact_alone(self, batch: _Batch) -> list[Row] | LabError:
        try:
            return self._transact([], [batch])[0]
        except sqlite3.Error as error:
            return self._refusal(error)

    def _read_only(self, batches: Sequence[_Batch], why: LabError) -> Outcomes:
        """Answer what only reads from the copy, if there is one; all else fails."""
        reading = self._reading
        return why, [why if reading is None or not _reads(one) else _run(reading, one.statements) for one in batches]

    def _give_up(self, error: sqlite3.Error) -> None:
        """Open the database anew the next time, unless it is merely full or locked."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and self._writing is not None:
            with suppress(sqlite3.Error):
                self._writing.close()
            self._writing = None

    def _refusal(self, error: Exception) -> LabError:
        if isinstance(error, LabError):
            return error
        if isinstance(error, sqlite3.Error):
            return refusal(error, self.directory / NAME)
        return answer_to(error) or Conflict(f"{self.directory} cannot be written: {error}.")


def _run(connection: sqlite3.Connection, statements: Sequence[Statement]) -> list[Row]:
    rows: list[Row] = []
    for sql, parameters in statements:
        rows = connection.execute(sql, parameters).fetchall()
    return rows


def _reads(batch: _Batch) -> bool:
    return all(sql.startswith("SELECT") for sql, _ in batch.statements)
