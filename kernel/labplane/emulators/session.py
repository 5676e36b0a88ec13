"""A running program with what belongs to it: its process, its console and its log."""

from collections.abc import Callable, Sequence
from pathlib import Path

from labplane.consoles.console import Console
from labplane.emulators.confinement import Needs
from labplane.emulators.logfile import LogFile
from labplane.emulators.terminals import Process, Terminals
from labplane.emulators.users import User

LAST_WORDS = 512


class Session:
    """One run of a program, from the opening of its console to its end.

    process:    what runs, a `Process`; None until it was started.
    console:    where viewers watch and type.
    last_words: the last bytes that it printed, up to 512.
    on_exit:    called with the returncode when the program ends, by itself or not.
    complain:   called with a sentence when something of less weight goes wrong.
    """

    def __init__(
        self,
        log: Path,
        *,
        typed: Callable[[bytes], bytes],
        leave_on: bytes | None,
        on_exit: Callable[["Session", int], None],
        complain: Callable[[str], None],
        most_viewers: int = 64,
    ) -> None:
        self.process: Process | None = None
        self.console = Console(self._type, leave_on=leave_on, most=most_viewers)
        self.last_words = b""
        self._log_path = log
        self._log: LogFile | None = None
        self._typed = typed
        self._on_exit = on_exit
        self._complain = complain

    @property
    def alive(self) -> bool:
        """True from the program's start to its end."""
        return self.process is not None and self.process.returncode is None

    @property
    def last_line(self) -> str:
        """The last line that the program printed, empty if none."""
        return self.last_words.decode(errors="replace").strip().rsplit("\n", 1)[-1].strip()

    def open_log(self) -> None:
        """Begin the log. Raises OSError."""
        self._log = LogFile(self._log_path, self._complain)

    async def spawn(
        self,
        terminals: Terminals,
        command: Sequence[str],
        *,
        cwd: Path,
        needs: Needs | None,
        user: User | None,
        timer_slack: float = 0.0,
    ) -> Process:
        """Start the program, see `Terminals.spawn`. Raises OSError when it cannot be executed."""
        self.process = await terminals.spawn(
            command,
            cwd=cwd,
            on_output=self._printed,
            on_exit=lambda returncode: self._on_exit(self, returncode),
            needs=needs,
            user=user,
            timer_slack=timer_slack,
        )
        return self.process

    def give_way(self) -> None:
        """To be called once the program is up, see `Process.give_way`."""
        if self.process is not None:
            self.process.give_way()

    async def close(self) -> None:
        """End what still runs and close what is still open. Idempotent."""
        if self.process is not None:
            await self.process.stop()
        await self.console.close()
        if self._log is not None:
            self._log.close()

    async def finish(self) -> None:
        """Close, and stay until the viewers have read the last of it and left."""
        await self.close()
        await self.console.empty()

    def _type(self, data: bytes) -> None:
        if self.process is not None:
            self.process.write(self._typed(data))

    def _printed(self, data: bytes) -> None:
        self.last_words = (self.last_words + data)[-LAST_WORDS:]
        if self._log is not None:
            self._log.write(data)
        self.console.feed(data)
