"""The thread that moves what was written from the log of the database into the database itself."""

import logging
import sqlite3
import threading
from pathlib import Path

from labplane.state.database import connect

log = logging.getLogger("labplane.state")

EVERY_SECONDS = 1.0
LONGEST_LOG = 16 * 1024 * 1024


class Checkpoints(threading.Thread):
    """Checkpoints each second in which something was written, so that no commit ever waits for the disk.

    It is made once: when the system has no further thread, there is none to be had just then either.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(name="state checkpoints", daemon=True)
        self._wanted = threading.Event()
        self._log = file.with_name(f"{file.name}-wal")
        self._connection = connect(file, "normal")
        self._ending = threading.Event()
        self._failed = ""
        self.start()

    def run(self) -> None:
        while not self._ending.is_set():
            self._wanted.wait()
            self._ending.wait(EVERY_SECONDS)
            self._wanted.clear()
            self._checkpoint()
        self._connection.close()

    def want(self) -> None:
        """Have what was committed checkpointed, within a second or so."""
        if not self._wanted.is_set():  # which costs a commit less than to set it again
            self._wanted.set()

    def end(self) -> None:
        """Checkpoint once more and end."""
        self._ending.set()
        self._wanted.set()
        self.join()

    def _checkpoint(self) -> None:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            if self._log.stat().st_size > LONGEST_LOG:  # after the other, which leaves it little to do
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._failed = ""
        except (sqlite3.Error, OSError) as error:
            if str(error) != self._failed:
                log.error("the log of the state's database cannot be worked off: %s", error)
            self._failed = str(error)
            self._wanted.set()  # try again
