"""The program: `python -IS keeper.py DIRECTORY LINGER BOUND`, one loop that serves all runs and clients.

DIRECTORY: has its socket, its lock, and its log, to which stderr leads.
LINGER:    seconds that it stays when nothing runs and no server is there.
BOUND:     1 when it ends with the last server, and everything with it, its directory too; else 0.

When the socket is there, it says "ready" on stdout. With a further argument, the number of a descriptor, it goes on
from the state in that file (`upgrade`). ``--check NUMBER`` only says by its exit status whether it could.
"""

import _thread
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

if __name__ == "__main__" and __file__.endswith("keeper.py"):
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from labplane_keeper import VERSION, lasting, leftovers
from labplane_keeper.clients import Client, Frame, failure
from labplane_keeper.groups import Groups
from labplane_keeper.launch import prctl, start_run
from labplane_keeper.requests import REQUESTS
from labplane_keeper.runs import Run
from labplane_keeper.serving import Clients
from labplane_keeper.visiting import end_left, start_time

STARTS_AT_ONCE = 2
LAST_READS = 16
HELD = 1.0  # seconds without progress after which nothing is held for a client any more
PATIENCE = 3.0
PR_SET_CHILD_SUBREAPER = 36
OOM_SCORE = "-900"

Start = tuple[Run, Client, dict[str, Any], list[int], int]


class Keeper(Clients):
    """All runs and clients.

    bound:   whether it ends with the last server.
    by_pid:  those that run.
    waiting: starts whose turn has not come; starting: how many threads start one now.
    held:    runs whose terminal is not read until a client has taken more.
    ending:  those that have ended, but for the last of their output: the status, and how often to read yet.
    leaving: those of them that may have left processes, and until when these are looked for.
    kill_at: when those that were told to end are killed.
    changed: whether something was started or has ended that is not written down.
    upgrade: the program that goes on in place of this one, and whom to answer.
    """

    def __init__(self, directory: str, linger: float, bound: bool) -> None:
        super().__init__("keeper", VERSION, REQUESTS, os.getpid())
        self.directory, self.linger, self.bound = directory, linger, bound
        self.epoll = select.epoll()
        self.by_pid: dict[int, Run] = {}
        self.waiting: list[Start] = []
        self.starting = 0
        self.held: set[Run] = set()
        self.ending: dict[Run, tuple[int, int]] = {}
        self.leaving: dict[Run, float] = {}
        self.kill_at: dict[Run, float] = {}
        self.quitting, self.changed = False, True
        self.started_file = -1
        self.check: tuple[int, Client, Frame, list[str]] | None = None
        self.upgrade: tuple[Client, Frame, list[str]] | None = None
        self.oom: str | None = None
        self.groups = Groups(directory)
        self._started: list[tuple[Start, int | OSError]] = []
        self.masters: dict[int, Run] = {}
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def begin(self, lock: int = -1, listener: int = -1) -> None:
        """Take the directory, with a lock and a listener that are there already or new ones. Raises OSError."""
        self.at = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        os.chdir("/")
        self.lock = lock
        if lock < 0:
            self.lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self.at)
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end_left(self.directory)
            lasting.recall(self)
        if listener >= 0:
            self.listener = socket.socket(fileno=listener)
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            with suppress(FileNotFoundError):
                os.unlink("socket", dir_fd=self.at)  # of one that was killed
            self.listener.bind(f"/proc/self/fd/{self.at}/socket")  # however long the directory's own path is
            os.chmod("socket", 0o600, dir_fd=self.at)
            self.listener.listen(64)
        self.listener.setblocking(False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.quit(PATIENCE))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        with suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:  # lowering takes a privilege
            before = file.read().strip()
            file.write(OOM_SCORE)
            file.flush()
            self.oom = self.oom or before
        for descriptor in (self._wake, self.listener.fileno()):
            self.epoll.register(descriptor, select.EPOLLIN)

    def serve(self) -> None:
        while not (self.quitting and not self.by_pid and not self.starting and not self.ending):
            for descriptor, event in self.epoll.poll(self._until_due()):
                if descriptor == self._wake:
                    os.read(self._wake, 4096)
                elif descriptor == self.listener.fileno():
                    self.accept()
                elif (run := self.masters.get(descriptor)) is not None:
                    self._terminal(run, event)
                elif (client := self.clients.get(descriptor)) is not None:
                    self.hear(client)
            self._take_started()
            self.reap()
            lasting.record(self)  # before anybody hears of it
            now = time.monotonic()
            for run, deadline in list(self.kill_at.items()):
                if now >= deadline:
                    del self.kill_at[run]
                    run.signal(signal.SIGKILL)
            for run in list(self.held):
                self.watch(run)
            leftovers.end(self)
            for run in list(self.ending):
                self._finish(run)
            for client in list(self.clients.values()):
                self.pump(client)
            if self.upgrade is not None and not self.starting and not self.ending:
                lasting.go_on_as(self, *self.upgrade)
            if self._is_idle and self.alone_since is not None and now >= self.alone_since + self.linger:
                return

    @property
    def _is_idle(self) -> bool:
        return not (self.by_pid or self.starting or self.ending or self.alone_since is None)

    def _until_due(self) -> float | None:
        """Seconds until something is due, None for none."""
        due = list(self.kill_at.values())
        if self.held or self.ending:
            due.append(time.monotonic() + HELD / 5)
        if self._is_idle and self.alone_since is not None:
            due.append(self.alone_since + self.linger)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def attend(self, client: Client) -> None:
        self.epoll.register(client.end.fileno(), select.EPOLLIN)

    def attend_more(self, client: Client) -> None:
        self.epoll.modify(client.end.fileno(), select.EPOLLIN | (select.EPOLLOUT if client.waits else 0))

    def left_alone(self) -> None:
        if self.bound:
            self.quit(0.0)

    def start_next(self) -> None:
        while self.waiting and self.starting < STARTS_AT_ONCE:
            self.starting += 1
            start = self.waiting.pop(0)
            try:
                _thread.start_new_thread(self._start, (start,))
            except RuntimeError:  # the system has no room for one more
                self._started.append((start, OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))))
                os.write(self._woken, b"s")

    def _start(self, start: Start) -> None:
        """Launch, in a thread of its own: what that gives up for its program it does not get back."""
        result: int | OSError
        try:
            result = start_run(self, start[0], *start[2:])
        except OSError as error:
            result = error
        except Exception as error:
            result = OSError(errno.EINVAL, f"{type(error).__name__}: {error}")
        self._started.append((start, result))
        os.write(self._woken, b"s")

    def _take_started(self) -> None:
        while self._started:
            (run, client, message, fds, slave), result = self._started.pop(0)
            self.starting -= 1
            os.close(slave)
            if isinstance(result, OSError):
                del self.runs[run.id]
                run.close()
                self.groups.leave(run)
                self.reply(client, (message, b"", fds), failure(result))
            else:
                self._take_in(run, result, message.get("limits", ()))
                self.reply(client, (message, b"", fds), run.shown())
                if message.get("read") and client.end.fileno() >= 0:
                    client.read(run, 0)
            self.start_next()

    def _take_in(self, run: Run, pid: int, limits: Any) -> None:
        run.pid = pid
        self.by_pid[pid] = run
        run.started = start_time(pid) or 0
        self.changed = True
        for limit, most in limits:
            with suppress(OSError):
                resource.prlimit(pid, limit, (most, most))
        if self.oom is not None:
            with suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w") as file:
                file.write(self.oom)
        self.masters[run.master] = run
        self.watch(run)
        if self.quitting:
            run.signal(signal.SIGKILL)

    def watch(self, run: Run) -> None:
        """Wait for what is due at the terminal of `run`."""
        self.held.discard(run)
        wanted = select.EPOLLIN | (select.EPOLLOUT if run.input else 0)
        if run.master in self.masters and run.watched != wanted:
            (self.epoll.modify if run.watched else self.epoll.register)(run.master, wanted)
            run.watched = wanted

    def _unwatch(self, run: Run) -> None:
        if run.watched:
            self.epoll.unregister(run.master)
            run.watched = 0

    def _terminal(self, run: Run, event: int) -> None:
        if event & select.EPOLLOUT:
            run.type()
            self.watch(run)
        if event & ~select.EPOLLOUT:
            if self._is_waited_for(run):
                self._unwatch(run)
                self.held.add(run)
            else:
                self._drain(run)

    def _is_waited_for(self, run: Run) -> bool:
        """Whether a reader has to take more first: nothing is lost to one that is there, and one that hangs is left."""
        now = time.monotonic()
        return run.lag > run.size // 2 and any(now < reader.progress + HELD for reader in run.readers)

    def _drain(self, run: Run) -> bool:
        data = run.drain()
        if data == b"":
            self._unwatch(run)
            self.masters.pop(run.master, None)
        if data and run.log is not None:
            try:
                run.log.write(data)
            except OSError as error:
                self.complain(run, f"{run.log.name} is not continued: {error.strerror}")
                run.close_log()
        return bool(data)

    def reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            run = self.by_pid.get(found.si_pid)
            if run is not None:
                self._ended(run)
            elif self.check is not None and found.si_pid == self.check[0]:
                lasting.checked(self, os.waitstatus_to_exitcode(os.waitpid(found.si_pid, 0)[1]))
            elif self.starting:
                return  # it may be one that is just being started
            else:
                os.waitpid(found.si_pid, 0)  # left over by a program, and so a child of the subreaper

    def _ended(self, run: Run) -> None:
        run.signal(signal.SIGKILL)  # ends its process group; until `waitpid` nobody else can have its number
        _, status = os.waitpid(run.pid, 0)
        del self.by_pid[run.pid]
        self.changed = True
        self.kill_at.pop(run, None)
        self._unwatch(run)
        self.ending[run] = (status, LAST_READS)
        self.leaving[run] = time.monotonic() + leftovers.SECONDS

    def _finish(self, run: Run) -> None:
        """Take the last of what an ended run has printed, as its readers take it, and tell of its end."""
        if run in self.leaving:
            return
        status, left = self.ending[run]
        while left and run.master in self.masters:
            if self._is_waited_for(run):
                self.ending[run] = (status, left)
                return
            left -= 1
            if not self._drain(run):
                break
            for reader in list(run.readers):
                self.pump(reader)
        del self.ending[run]
        self.groups.leave(run)
        run.ended(os.waitstatus_to_exitcode(status))
        self.held.discard(run)
        self.masters.pop(run.master, None)
        run.close()
        if self.alone_since is not None:
            self.alone_since = time.monotonic()

    def end(self, run: Run, patience: float) -> None:
        """SIGTERM, SIGKILL after `patience` seconds."""
        if run.status is None:
            run.signal(signal.SIGTERM)
            self.kill_at[run] = min(time.monotonic() + patience, self.kill_at.get(run, float("inf")))

    def quit(self, patience: float) -> None:
        """End all that runs, then this program."""
        self.quitting = True
        for run in self.by_pid.values():
            self.end(run, patience)


def main(arguments: list[str]) -> None:
    if arguments[0] == "--check":
        lasting.check(int(arguments[1]))
        return
    directory, linger, bound, *state = arguments
    _thread.stack_size(256 * 1024)
    known = lasting.inherited(int(state[0]) if state else None)
    keeper = Keeper(directory, float(linger), bound == "1")
    if state:
        lasting.resume(keeper, known)
    else:
        keeper.begin()
        lasting.announce()
    keeper.serve()
    lasting.leave(keeper)


if __name__ == "__main__":
    main(sys.argv[1:])
