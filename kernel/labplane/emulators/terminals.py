"""Emulator processes, each on a terminal (pty) that labplane owns and that is its controlling terminal."""

import asyncio
import errno
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

from labplane.emulators import confinement
from labplane.emulators.confinement import Needs
from labplane.emulators.keys import act_only_on
from labplane.emulators.spawning import spawn
from labplane.emulators.users import User
from labplane.errors import Busy

INPUT_LIMIT = 64 * 1024
READ_SIZE = 64 * 1024
LAST_READS = 16
COPIES_SECONDS = 0.5
SPAWN_SECONDS = 2.0
NICE = 10
SPAWNS_AT_ONCE = 2
ALWAYS = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: 4096}


class Process:
    """A running program: its output is passed to `on_output`, its returncode to `on_exit`.

    pid:        of the process, which leads a session and a process group of its own.
    returncode: None while it runs, then as in subprocess (negative: the signal that ended it).
    """

    def __init__(
        self, pid: int, watch: int, terminal: int, on_output: Callable[[bytes], None], on_exit: Callable[[int], None]
    ) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._terminal = terminal
        self._on_output = on_output
        self._on_exit = on_exit
        self._input = bytearray()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        os.set_blocking(terminal, False)
        self._watch = watch
        self._loop.add_reader(terminal, self._read)
        self._loop.add_reader(self._watch, self._reap)

    def write(self, data: bytes) -> None:
        """Type `data` on the terminal. Beyond 64 KiB that the program has not read, it is lost."""
        if self.returncode is not None:
            return
        self._input += data[: max(0, INPUT_LIMIT - len(self._input))]
        self._flush()

    async def wait(self) -> int:
        """The returncode, once the process has ended and all that it printed was passed on."""
        return await asyncio.shield(self._ended)

    async def stop(self, patience: float = 3.0) -> int:
        """SIGTERM, SIGKILL after `patience` seconds, both to the whole process group; the returncode."""
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._ended), patience)
        self.kill()
        return await self.wait()

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        self._signal(signal.SIGKILL)

    def give_way(self) -> None:
        """Let the server go first where processors are short, as far as this system allows.

        Linux weighs sessions against each other (man 7 sched, autogroup), so a process's own nice value would change
        nothing: a hundred busy emulators would leave the server a hundredth of the machine.
        """
        with suppress(OSError):
            Path(f"/proc/{self.pid}/autogroup").write_text(str(NICE))

    def _signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _read(self) -> bool:
        try:
            data = os.read(self._terminal, READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:  # EIO: no process has the terminal open any more
            data = b""
        if not data:
            self._loop.remove_reader(self._terminal)
            return False
        self._on_output(data)
        return True

    def _flush(self) -> None:
        try:
            written = os.write(self._terminal, self._input)
        except BlockingIOError:
            written = 0
        except OSError:
            written = len(self._input)
        del self._input[:written]
        if self._input:
            self._loop.add_writer(self._terminal, self._flush)
        else:
            self._loop.remove_writer(self._terminal)

    def _reap(self) -> None:
        self.kill()  # ends the programs that it started; until `waitpid` nobody else can have its number
        _, status = os.waitpid(self.pid, os.WNOHANG)
        self._loop.remove_reader(self._watch)
        os.close(self._watch)
        for _ in range(LAST_READS):
            if not self._read():
                break
        self._loop.remove_reader(self._terminal)
        self._loop.remove_writer(self._terminal)
        os.close(self._terminal)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set_result(self.returncode)
        self._on_exit(self.returncode)


class Terminals:
    """Starts programs on terminals. It is the only owner of ptys."""

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._turns = asyncio.Semaphore(SPAWNS_AT_ONCE)
        self._being_spawned = 0
        self._latest_spawn = -COPIES_SECONDS

    @property
    def can_confine(self) -> bool:
        """True when this Linux has Landlock."""
        return confinement.version() > 0

    def kill_all(self) -> None:
        """Send SIGKILL to all programs that still run; the last resort at the server's end."""
        for process in self._running:
            process.kill()

    async def comes_free(self, is_free: Callable[[], bool]) -> bool:
        """Whether a port is free, or becomes so once no program that is being started has a copy of one of our sockets.

        Linux closes those copies after it has told us that the program is executed, and on a busy machine quite a while
        after. So `is_free` is asked again until the latest spawn is half a second old, but not for ever: those that
        begin meanwhile have no copy of what was given up before.
        """
        latest = time.monotonic() + SPAWN_SECONDS
        while not is_free():
            now = time.monotonic()
            if now > latest or (not self._being_spawned and now > self._latest_spawn + COPIES_SECONDS):
                return False
            await asyncio.sleep(0.001)
        return True

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
        limits: Mapping[int, int] = MappingProxyType({}),
    ) -> Process:
        """Start `command` in the directory `cwd`; both callbacks run in the event loop.

        command:     argument list; the first is the absolute path of the program.
        environment: all that the process finds there; by default PATH, HOME, LANG and TERM.
        needs:       what the process may do besides executing itself and working in `cwd`; None means anything.
        user:        who it runs as, None for the server's own.
        timer_slack: seconds that its timers may be late, 0 for as few as usual.
        sigpipe:     whether SIGPIPE ends it, or is ignored.
        keys:        on which the terminal itself acts, see `keys.act_only_on`.
        limits:      of its resources, by their numbers in `resource`, besides those of `ALWAYS`.

        Raises OSError when the program cannot be executed.
        """
        if environment is None:
            environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
            environment["TERM"] = "vt100"
        master, slave = _open_terminal()
        try:
            act_only_on(keys, slave)
            if user is not None:
                os.fchown(slave, user.uid, -1)
            terminal = os.ttyname(slave)
            start = partial(
                spawn,
                command,
                terminal,
                cwd,
                environment,
                needs=needs,
                user=user,
                timer_slack=timer_slack,
                sigpipe=sigpipe,
            )
            spawning = asyncio.ensure_future(self._in_turn(start, {**ALWAYS, **limits}))
            try:
                pid = await asyncio.shield(spawning)
            except asyncio.CancelledError:
                _end(await spawning)
                raise
            watch = _watch(pid)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)

        def ended(returncode: int) -> None:
            self._running.discard(process)
            on_exit(returncode)

        process = Process(pid, watch, master, on_output, ended)
        self._running.add(process)
        return process

    async def _in_turn(self, start: Callable[[], Awaitable[int]], limits: Mapping[int, int]) -> int:
        """The pid of the program that `start` starts."""
        async with self._turns:
            self._being_spawned += 1
            try:
                pid = await start()
            finally:
                self._being_spawned -= 1
                self._latest_spawn = time.monotonic()
        for limit, most in limits.items():
            with suppress(ProcessLookupError, PermissionError):
                resource.prlimit(pid, limit, (most, most))
        return pid


def _open_terminal() -> tuple[int, int]:
    """A pseudo-terminal: its master and its slave side."""
    try:
        return os.openpty()
    except OSError as error:
        if error.errno == errno.ENOSPC:  # of the devices, not of a disk
            raise Busy(
                "The system has no pseudo-terminal left (kernel.pty.max). Stop some VMs and try again."
            ) from None
        raise


def _watch(pid: int) -> int:
    """A descriptor that becomes readable when the child `pid` ends; it is ended now if there can be none."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        _end(pid)
        raise


def _end(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
