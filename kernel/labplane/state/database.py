"""The database of a data directory: opened and checked, brought up to date, and read where it cannot be written."""

import errno
import os
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

from labplane.errors import Busy, Conflict, LabError, answer_to

NAME = "state.db"
APPLICATION = 0x6C616270  # "labp", by which SQLite's file header tells whose database it is
PATIENCE_SECONDS = 1.0

Durability = Literal["normal", "full"]

# What leads from each version of the schema to the next. A released one is never changed.
MIGRATIONS = (
    """
    CREATE TABLE vm (
        position INTEGER PRIMARY KEY, vm_id TEXT NOT NULL UNIQUE, project_id TEXT NOT NULL, kind TEXT NOT NULL,
        name TEXT NOT NULL, settings TEXT NOT NULL, console INTEGER, nios TEXT NOT NULL,
        wanted TEXT NOT NULL, generation INTEGER NOT NULL, last_exit TEXT
    ) STRICT;
    CREATE INDEX vm_of_project ON vm (project_id);
    CREATE TABLE port (
        pool TEXT NOT NULL, number INTEGER NOT NULL, vm_id TEXT, project_id TEXT, boot TEXT, since REAL,
        PRIMARY KEY (pool, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX port_of_vm ON port (vm_id);
    CREATE INDEX port_of_project ON port (project_id);
    CREATE TABLE deleted (
        vm_id TEXT PRIMARY KEY, project_id TEXT NOT NULL, kind TEXT NOT NULL, committed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE value (
        position INTEGER PRIMARY KEY, plugin TEXT NOT NULL, project_id TEXT NOT NULL, key TEXT NOT NULL,
        value TEXT NOT NULL, vm_id TEXT, UNIQUE (plugin, project_id, key)
    ) STRICT;
    CREATE INDEX value_of_project ON value (project_id);
    CREATE INDEX value_of_vm ON value (vm_id);
    """,
    "ALTER TABLE vm ADD COLUMN ports TEXT NOT NULL DEFAULT '{}';",
    # Each table and index that a new VM has a row in is a page to be written before the reply: these are half as many.
    """
    CREATE TABLE new_vm (
        vm_id TEXT PRIMARY KEY, position INTEGER NOT NULL, project_id TEXT NOT NULL, kind TEXT NOT NULL,
        name TEXT NOT NULL, settings TEXT NOT NULL, console INTEGER, nios TEXT NOT NULL, ports TEXT NOT NULL,
        wanted TEXT NOT NULL, generation INTEGER NOT NULL, last_exit TEXT
    ) STRICT, WITHOUT ROWID;
    INSERT INTO new_vm SELECT
        vm_id, position, project_id, kind, name, settings, console, nios, ports, wanted, generation, last_exit FROM vm;
    DROP TABLE vm;
    ALTER TABLE new_vm RENAME TO vm;
    CREATE INDEX vm_of_project ON vm (project_id);
    DROP INDEX port_of_vm;
    DROP INDEX port_of_project;
    CREATE INDEX port_of_project ON port (project_id, vm_id) WHERE project_id IS NOT NULL;
    CREATE TABLE new_value (
        project_id TEXT NOT NULL, plugin TEXT NOT NULL, key TEXT NOT NULL, position INTEGER NOT NULL,
        value TEXT NOT NULL, vm_id TEXT, PRIMARY KEY (project_id, plugin, key)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO new_value SELECT project_id, plugin, key, position, value, vm_id FROM value;
    DROP TABLE value;
    ALTER TABLE new_value RENAME TO value;
    """,
)
VERSION = len(MIGRATIONS)

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}
_TAKEN = {
    "vm.vm_id": "This vm_id belongs to a VM of a project that is closed, or of a kind that is not installed; "
    "choose another one.",
    "port.pool, port.number": "This port is kept for a VM whose kind is not installed; choose another one.",
}


def refusal(error: sqlite3.Error, file: Path) -> LabError:
    """What a client is told when the database refuses something."""
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    code = sqlite3.SQLITE_FULL if extended == sqlite3.SQLITE_IOERR_SHMSIZE else extended & 0xFF
    if code == sqlite3.SQLITE_CONSTRAINT:
        what = str(error).partition(": ")[2]
        return Conflict(_TAKEN.get(what, f"There is one already that has the same {what}."))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"Another program holds {file} locked; end it and try again.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Conflict(f"{file} is damaged: {error}. End the server and put a backup of it in its place.")
    number = _ERRNO.get(code, 0)
    return answer_to(OSError(number, os.strerror(number), str(file))) or Conflict(f"{file} cannot be written: {error}.")


def connect(file: Path, durability: Durability) -> sqlite3.Connection:
    """A connection to a database that is there; it may be used from any thread, by one at a time."""
    connection = sqlite3.connect(file, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def open_database(directory: Path, durability: Durability) -> sqlite3.Connection:
    """The database of that directory, made if it is missing, checked, with the schema of this version.

    Raises Conflict when it is damaged or comes from a newer labplane, sqlite3.Error and OSError when it cannot be
    written.
    """
    file = directory / NAME
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(file))
    with suppress(FileExistsError):  # one that is there is not opened here: to close it would undo SQLite's locks on it
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = connect(file, durability)
    try:
        version = _check(connection, file)
        if version < VERSION:
            _migrate(connection, file, version)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")  # whether it can be written is better known now
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def read_database(directory: Path) -> sqlite3.Connection:
    """A copy of the database in memory, empty if there is none, for a disk on which nothing can be written.

    Raises Conflict as `open_database` does.
    """
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as place:  # noqa: S108
        for suffix in ("", "-wal"):
            if (file := directory / f"{NAME}{suffix}").exists():
                shutil.copyfile(file, Path(place, file.name))
        source = sqlite3.connect(Path(place, NAME))
        try:
            version = _check(source, directory / NAME)
            source.backup(copy)
        finally:
            source.close()
    _advance(copy, version)
    return copy


def last_position(connection: sqlite3.Connection) -> int:
    """The highest number by which a row keeps the order in which the rows were made."""
    return max(_number(connection, f"SELECT ifnull(max(position), 0) FROM {table}") for table in ("vm", "value"))  # noqa: S608


def _check(connection: sqlite3.Connection, file: Path) -> int:
    """The version of the schema, 0 when the database is empty. Raises Conflict when it cannot be used."""
    try:
        application, version = (_number(connection, f"PRAGMA {name}") for name in ("application_id", "user_version"))
        if application not in (0, APPLICATION) or (application == 0 and _number(connection, "PRAGMA page_count") > 0):
            raise Conflict(f"{file} is no database of labplane; move it away.")
        if version > VERSION:
            raise Conflict(
                f"{file} was written by a newer labplane: its schema is number {version}, and this one knows up to "
                f"{VERSION}. Install the newer labplane again, or give this one another directory with --projects-dir."
            )
        found = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        found = [str(error)]
    if found != ["ok"]:
        raise Conflict(
            f"{file} is damaged: {found[0].splitlines()[-1]}. Put a backup of it in its place, or move it and its -wal "
            "away to begin with no projects; the files of projects stay."
        )
    return version


def _migrate(connection: sqlite3.Connection, file: Path, version: int) -> None:
    """Bring the schema up to date, after a copy of the database as it was."""
    if version > 0:
        copy = file.with_name(f"{file.name}.v{version}")
        copy.unlink(missing_ok=True)
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        target = sqlite3.connect(copy)
        try:
            connection.backup(target)
        finally:
            target.close()
    _advance(connection, version)


def _advance(connection: sqlite3.Connection, version: int) -> None:
    script = "".join(MIGRATIONS[version:])
    connection.executescript(
        f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT"
    )


def _number(connection: sqlite3.Connection, sql: str) -> int:
    number: int = connection.execute(sql).fetchone()[0]
    return number
