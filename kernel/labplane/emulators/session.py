"""One run of a machine that has a console: what runs, its console and its log together."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from labplane.consoles.console import Console
from labplane.consoles.listener import Listener
from labplane.emulators.confinement import Needs
from labplane.emulators.engine import Engine
from labplane.emulators.limits import out_of_memory
from labplane.emulators.logfile import LogFile
from labplane.emulators.terminals import Process, Terminals
from labplane.emulators.users import User

LAST_WORDS = 512
DENIALS = (b"ermission denied", b"not permitted")
CONFINED = (
    "It is confined, which may be why: it can read and execute only its own files and those that its driver `needs` "
    '(docs/drivers.md). With sandbox = "off" in labplane.toml it is not confined.'
)


class Running(Protocol):
    """Anything that runs behind a console: a program on a terminal, or a machine that its driver makes itself.

    It prints by calling `Session.printed`, and tells its end, by itself or not, once, by calling `Session.ended`.
    """

    @property
    def returncode(self) -> int | None:
        """None while it runs, then the code with which it ended; negative for a signal."""
        ...

    def write(self, data: bytes) -> None:
        """Take the bytes that viewers typed. It must not block."""
        ...

    async def stop(self) -> Any:
        """End it. When this returns, it has told its end. It may be called again."""
        ...


class Session:
    """One run of a machine, from the opening of its console to its end. Its log is the file `log` in `directory`.

    name:       of the companion that it is the session of; empty for that of a VM itself.
    running:    the program or machine behind the console; None until it was started.
    process:    the same if it is a program on a terminal, a `Process`; else None.
    console:    what viewers watch and type at.
    listener:   the address of the console for telnet.
    companions: the sessions of programs that belong to this one: when it ends they are ended, before its end is told.
    patience:   seconds that it has for its end, if it is that of a companion.
    last_words: the last bytes that were printed, at most 512.
    on_exit:    called with the returncode when it ends, by itself or not.
    complain:   called with a sentence when something of less weight goes wrong.
    """

    def __init__(
        self,
        directory: Path,
        log: str,
        *,
        name: str = "",
        typed: Callable[[bytes], bytes],
        leave_on: bytes | None,
        on_exit: Callable[["Session", int], None],
        complain: Callable[[str], None],
        most_viewers: int = 64,
        keepalive: int = 60,
    ) -> None:
        self.name = name
        self.running: Running | None = None
        self.process: Process | None = None
        self.console = Console(self._type, leave_on=leave_on, most=most_viewers)
        self.listener = Listener(self.console, keepalive)
        self.companions: list[Session] = []
        self.patience = 3.0
        self._epilogue: asyncio.Task[None] | None = None
        self._is_confined = False
        self._was_denied = False
        self._directory, self._log_name = directory, log
        self._log: LogFile | None = None
        self._logs = True
        self._left = False
        self._typed = typed
        self._on_exit = on_exit
        self._complain = complain

    @property
    def alive(self) -> bool:
        """True from the start of what runs to its end."""
        return self.running is not None and self.running.returncode is None

    @property
    def last_words(self) -> bytes:
        return self.console.last(LAST_WORDS)

    @property
    def last_line(self) -> str:
        """The last line that was printed, empty if none."""
        return self.last_words.decode(errors="replace").strip().rsplit("\n", 1)[-1].strip()

    @property
    def suspicion(self) -> str:
        """A sentence, after a space, that says why a program ended, or was not executed; empty when that is unknown.

        It was out of memory, or confined and refused something.
        """
        if self.process is not None and self.process.out_of_memory is not None:
            return out_of_memory(self.process.out_of_memory)
        last = self.last_words
        was_denied = self._was_denied or any(words in last for words in DENIALS)
        return f" {CONFINED}" if self._is_confined and was_denied else ""

    def run(self, running: Running) -> None:
        """Put `running` behind the console: it gets the bytes that viewers type, and is stopped with the session."""
        self.running = running
        self._begin_log()

    async def spawn(
        self,
        terminals: Terminals,
        command: Sequence[str],
        *,
        cwd: Path,
        needs: Needs | None,
        user: User | None,
        keys: Collection[str],
        limits: Mapping[int, int],
        timer_slack: float = 0.0,
        sigpipe: bool = True,
        raw: bool = False,
        inherit: Mapping[int, int] = MappingProxyType({}),
        name: str | None = None,
        note: Any = None,
        group: Mapping[str, Any] | None = None,
    ) -> Process:
        """Start a program on a terminal and run it, see `Terminals.spawn`. Raises OSError when that fails.

        Its keeper writes the log.
        """
        self._is_confined = needs is not None
        self._logs = False
        try:
            self.process = await terminals.spawn(
                command,
                cwd=cwd,
                on_output=self.printed,
                log=self._directory / self._log_name,
                complain=self._complain_of_log,
                name=name,
                note=note,
                group=group,
                on_exit=self.ended,
                needs=needs,
                user=user,
                timer_slack=timer_slack,
                sigpipe=sigpipe,
                raw=raw,
                inherit=inherit,
                keys=keys,
                limits=limits,
            )
        except PermissionError:
            self._was_denied = True
            raise
        self.console.run = self.process.run
        self.run(self.process)
        return self.process

    def adopt(self, terminals: Terminals, run: dict[str, Any]) -> None:
        """Go on with a program that an earlier server has started; what its keeper remembers is shown first."""
        self._is_confined = bool(run["note"]["confined"])
        self._logs = False
        self.console.go_on(str(run["generation"]), run["begin"])
        self.process = terminals.adopt(run, self.printed, self.ended, self._complain_of_log)
        self.run(self.process)

    async def make(
        self,
        engine: Engine,
        machine: str,
        settings: Mapping[str, Any],
        directory: Path,
        descriptors: Sequence[int],
        *,
        name: str,
        note: Any,
    ) -> None:
        """Make a machine in the engine and run it, see `Engine.spawn`. Raises OSError when that fails."""
        made = await engine.spawn(
            machine,
            settings,
            directory,
            descriptors,
            on_output=self.printed,
            on_exit=self.ended,
            complain=self._complain,
            name=name,
            note=note,
        )
        self.console.run = made.run
        self.run(made)

    async def take_over(self, engine: Engine, name: str) -> Any:
        """Go on with a machine of the engine that an earlier server has made; its note. None when it does not run.

        Raises OSError.
        """
        made = await engine.adopt(
            name,
            on_output=self.printed,
            on_exit=self.ended,
            on_found=self.console.go_on,
            complain=self._complain,
        )
        if made is None:
            return None
        self.run(made)
        return made.note

    async def leave(self) -> None:
        """Close what is ours, and leave what runs to the next server; a `Running` that can be left has `leave`."""
        self._left = True
        for companion in self.companions:
            await companion.leave()
        if self.running is not None and hasattr(self.running, "leave"):
            self.running.leave()
        await self.listener.close()
        self.console.close()
        self._logs = False  # the next server begins it anew, with what is remembered
        if self._log is not None:
            self._log.close()
            self._log = None

    def printed(self, data: bytes) -> None:
        """Show `data` on the console and write it to the log. To be called on the event loop."""
        self._begin_log()
        if self._log is not None:
            self._log.write(data)
        self.console.feed(data)

    def ended(self, returncode: int) -> None:
        """Take note that what ran has ended, for whatever reason."""
        if self._left:
            return
        if self.companions:
            self._epilogue = asyncio.ensure_future(self._end_companions(returncode))
        else:
            self._on_exit(self, returncode)

    async def _end_companions(self, returncode: int | None = None) -> None:
        await asyncio.gather(*(companion.close(companion.patience) for companion in self.companions))
        if returncode is not None:
            self._on_exit(self, returncode)

    async def close(self, patience: float | None = None) -> None:
        """Stop what still runs and close what is still open. It may be called again.

        patience: seconds that a program has for it, see `Process.stop`.
        """
        if self.process is not None and patience is not None:
            await self.process.stop(patience)
        elif self.running is not None:
            await self.running.stop()
        await (self._epilogue or self._end_companions())
        await self.listener.close()
        self.console.close()
        if self._log is not None:
            self._log.close()

    async def finish(self) -> None:
        """Close, and return when the viewers have read the last of it and left."""
        await self.close()
        await self.console.empty()

    def _complain_of_log(self, text: str) -> None:
        self._complain(f"{self._directory}/{text}")

    def _begin_log(self) -> None:
        if self._logs and self._log is None:
            self._log = LogFile(self._directory, self._log_name, self._complain)

    def _type(self, data: bytes) -> None:
        if self.running is not None:
            self.running.write(self._typed(data))
