"""Calls into plugins: timed and bounded, and whatever goes wrong there is put down to the plugin that did it."""

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from labplane.errors import ClientGone, Fault, LabError, answer_to
from labplane.events import Events
from labplane.reports import Report

log = logging.getLogger("labplane")

BLOCKING_SECONDS = 0.1
GRACE_SECONDS = 5.0
WATCH_SECONDS = 1.0
FRESH_SECONDS = 0.005

Result = TypeVar("Result")

_clocks: ContextVar[tuple["_Clock", ...]] = ContextVar("clocks", default=())  # of the calls that are being made


class Supervisor:
    """Calls what plugins brought, on the event loop, and keeps book of their faults in their reports.

    limit:  seconds that a call may take, asked at each call.
    events: where faults are told.

    A call that raises anything but a LabError, or that takes longer than `limit`, ends as a Fault that names the
    plugin. One that takes too long is cancelled; it has `GRACE_SECONDS` to clean up, then it is abandoned. One that
    keeps the event loop from everybody else for more than `BLOCKING_SECONDS` is logged, when it is over and already
    meanwhile. The time in which the loop's thread itself waited for a processor is no plugin's.
    """

    def __init__(self, limit: Callable[[], float], events: Events) -> None:
        self._limit = limit
        self._events = events
        self._steps: list[tuple[Report, str, float, float]] = []  # that are on the processor, the innermost last
        self._accounted = 0.0
        self._waited = 0.0  # of what is accounted for
        self._schedstat: int | None = None  # of the loop's thread, where Linux has it (man 5 proc)
        self._baseline, self._stale_at = 0.0, 0.0
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None

    async def call(
        self,
        report: Report,
        what: str,
        operation: Coroutine[Any, Any, Result],
        *,
        bounded: bool = True,
        project_id: str | None = None,
        at_least: float = 0.0,
    ) -> Result:
        """What `operation` returns. Raises LabError only, or is cancelled.

        what:       says in messages what was to be done.
        bounded:    whether it may take no longer than `limit`, or than that after it last showed progress (`go_on`).
        at_least:   seconds that it may take in any case.
        project_id: of the project whose listeners learn of a fault.
        """
        timers: tuple[asyncio.Timeout, ...] = ()
        limit = max(self._limit(), at_least) if bounded else None
        latest = None if limit is None else limit + GRACE_SECONDS
        outer, clock = _clocks.get(), _Clock(limit)
        _clocks.set((*outer, clock))
        try:
            with self.step(report, what):
                try:
                    awaited = operation.send(None)
                except StopIteration as end:  # as most do, without a wait: no clock is needed
                    finished: Result = end.value
                    return finished
            async with asyncio.timeout(latest) as grace, asyncio.timeout(limit) as patience:
                timers = clock.timers = (grace, patience)
                result: Result = await _Stepwise(self, report, what, operation, awaited, grace)
                return result
        except (LabError, ClientGone):
            raise
        except TimeoutError as error:
            if not any(timer.expired() for timer in timers):
                raise self._fault(report, what, error, project_id) from None
            report.blame(f"{what}: cancelled after {limit:g} seconds")
            log.error("%s: %s was cancelled after %g seconds", report, what, limit)
            message = f"The {report} did not end {what} within {limit:g} seconds; it was cancelled."
            raise self._told(Fault(message), project_id) from None
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # it is this task that was cancelled, not just something within the plugin
            raise self._fault(report, what, error, project_id) from None
        finally:
            _clocks.set(outer)

    def run(
        self,
        report: Report,
        what: str,
        function: Callable[..., Result],
        *arguments: Any,
        project_id: str | None = None,
    ) -> Result:
        """What a plain function returns. Raises LabError only."""
        try:
            with self.step(report, what):
                return function(*arguments)
        except LabError:
            raise
        except Exception as error:
            raise self._fault(report, what, error, project_id) from None

    @contextmanager
    def step(self, report: Report, what: str) -> Iterator[None]:
        """Measure what is done meanwhile without giving way, without what inner steps account for."""
        began = time.perf_counter()
        before, waited_before = self._accounted, self._waited
        if began > self._stale_at:  # since to read it takes longer than most steps
            self._baseline, self._stale_at = self._delay(), began + FRESH_SECONDS
        self._steps.append((report, what, began, delay := self._baseline))
        try:
            yield
        finally:
            self._steps.pop()
            took = time.perf_counter() - began
            own = took - (self._accounted - before)
            self._accounted = before + took
            if own > BLOCKING_SECONDS:
                waited = self._delay() - delay
                own -= max(0.0, waited - (self._waited - waited_before))
                self._waited = waited_before + waited
            if own > BLOCKING_SECONDS:
                report.blame(f"{what}: blocked the server for {own * 1000:.0f} ms")
                log.warning("%s: %s blocked the server for %.0f ms", report, what, own * 1000)

    def watch(self) -> None:
        """Begin to look, from a thread, for what blocks the event loop of the calling thread right now."""
        with suppress(OSError):
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._watcher = threading.Thread(target=self._watch, args=[threading.get_ident()], name="watch", daemon=True)
        self._watcher.start()

    def unwatch(self) -> None:
        """End what `watch` began."""
        self._over.set()
        if self._watcher is not None:
            self._watcher.join()  # it reads what is closed now
        if self._schedstat is not None:
            os.close(self._schedstat)
            self._schedstat = None

    def _delay(self) -> float:
        """The seconds that the loop's thread has waited so far for a processor that others had."""
        with suppress(OSError):
            if self._schedstat is not None:
                return int(os.pread(self._schedstat, 100, 0).split()[1]) / 1e9
        return 0.0

    def _watch(self, thread: int) -> None:
        told = 0.0
        while not self._over.wait(WATCH_SECONDS):
            with suppress(IndexError):
                report, what, began, delay = self._steps[-1]
                if began != told and time.perf_counter() - began - (self._delay() - delay) > WATCH_SECONDS:
                    told = began
                    stack = "".join(traceback.format_stack(sys._current_frames().get(thread)))
                    log.error("%s: %s is blocking the server. It is here:\n%s", report, what, stack)

    def _fault(self, report: Report, what: str, error: BaseException, project_id: str | None) -> LabError:
        if (answer := answer_to(error)) is not None:
            log.error("%s: the system refused something at %s: %s", report, what, error)
            return answer
        report.blame(f"{what}: {type(error).__name__}: {error}".removesuffix(": "))
        log.error("%s: %s failed", report, what, exc_info=error)
        return self._told(Fault(f"The {report} failed at {what}; the server's log says why."), project_id)

    def _told(self, fault: Fault, project_id: str | None) -> Fault:
        self._events.emit("log.error", {"message": str(fault)}, project_id)
        return fault


def go_on() -> None:
    """Give the calls within which this is called the whole of their time again: their work shows progress."""
    for clock in _clocks.get():
        clock.restart()


class _Clock:
    """The time of one call; timers: for its end when it does not clean up, and for its cancellation."""

    __slots__ = ("limit", "timers")

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.timers: tuple[asyncio.Timeout, ...] = ()

    def restart(self) -> None:
        if self.limit is not None and not any(timer.expired() for timer in self.timers):
            end = asyncio.get_running_loop().time() + self.limit
            with suppress(RuntimeError):  # the call is over, and what it left behind goes on
                for timer, grace in zip(self.timers, (GRACE_SECONDS, 0.0), strict=False):
                    timer.reschedule(end + grace)


class _Stepwise:
    """Awaits what a coroutine awaits, and measures each of its further steps, from one await to the next."""

    def __init__(
        self,
        supervisor: Supervisor,
        report: Report,
        what: str,
        operation: Coroutine[Any, Any, Any],
        awaited: Any,
        grace: asyncio.Timeout,
    ) -> None:
        self._supervisor = supervisor
        self._report, self._what = report, what
        self._operation = operation
        self._awaited = awaited
        self._grace = grace

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited = self._awaited
        while True:
            error: BaseException | None = None
            try:
                yield awaited
            except BaseException as thrown:
                if self._grace.expired():
                    with suppress(Exception):  # of a coroutine that will not end even now
                        self._operation.close()
                    raise
                error = thrown
            with self._supervisor.step(self._report, self._what):
                try:
                    awaited = self._operation.send(None) if error is None else self._operation.throw(error)
                except StopIteration as end:
                    return end.value
