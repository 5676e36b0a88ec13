"""Events of a lab, emitted to subscriptions; the emitter waits for none of them."""

import asyncio
import json
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("labplane")

LAG = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    action:     the kind of event: "vm.started", "log.error".
    event:      its content, in JSON types: a VM object, {"message": "…"}.
    project_id: the project that it concerns, None for the whole server.
    text:       `event` as JSON on one line.
    """

    action: str
    event: Any
    project_id: str | None
    text: str


class Subscription:
    """The events of a project, or of all, from `Events.listen` on: an async iterator for one reader.

    lagged: it was dropped, because more than `LAG` bytes waited to be read.

    It ends when it is closed, by whomever; what had come by then can still be read, unless it was dropped. As a context
    manager it is closed on leaving.
    """

    def __init__(self, table: set["Subscription"]) -> None:
        self.lagged = False
        self._table = table
        self._events: deque[Event] = deque()
        self._size = 0
        self._news = asyncio.Event()
        table.add(self)

    @property
    def over(self) -> bool:
        """True when no event is left and none will come."""
        return self not in self._table and not self._events

    async def within(self, seconds: float | None) -> Event | None:
        """The next event; None when the subscription ended or `seconds` went by without one."""
        if not self._events and self in self._table:
            self._news.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return None
        if not self._events:
            return None
        event = self._events.popleft()
        self._size -= len(event.text)
        return event

    def close(self) -> None:
        """End it, at once for what comes, and for its reader after what has come. Idempotent."""
        self._table.discard(self)
        self._news.set()

    def put(self, event: Event) -> None:
        """Have `event` read; drop the subscription instead if too much waits already."""
        if self._size > LAG:
            self.lagged = True
            self._events.clear()
            self.close()
            return
        self._size += len(event.text)
        self._events.append(event)
        self._news.set()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        event = await self.within(None)
        if event is None:
            raise StopAsyncIteration
        return event

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Events:
    """The events of one lab. To emit one costs next to nothing when nobody listens."""

    def __init__(self) -> None:
        self._tables: dict[str | None, set[Subscription]] = {}
        self._closed = False

    def wanted(self, project_id: str | None) -> bool:
        """Whether anybody listens to events of that project; worth asking before making an expensive one."""
        return any(self._tables.get(key) for key in {None, project_id})

    def emit(self, action: str, event: Any, project_id: str | None = None) -> None:
        """Tell those who listen to that project, and those who listen to all; never raises.

        event: in JSON types; of the actions "log.error", "log.warning" and "log.info" it is {"message": "a sentence"}.
        """
        if not self.wanted(project_id):
            return
        try:
            told = Event(action, event, project_id, json.dumps(event, sort_keys=True, allow_nan=False))
        except (TypeError, ValueError) as error:
            log.error("the event %s is not told, it is no JSON: %s", action, error)
            return
        for key in {None, project_id}:
            for subscription in list(self._tables.get(key, ())):
                subscription.put(told)

    def listen(self, project_id: str | None = None) -> Subscription:
        """What happens from now on in that project, or everywhere; close it when it is not read any more."""
        table = self._tables.setdefault(project_id, set())
        subscription = Subscription(table)
        if self._closed:
            subscription.close()
        return subscription

    def end(self, project_id: str | None) -> None:
        """The project is closed: its subscriptions end."""
        for subscription in list(self._tables.pop(project_id, ())):
            subscription.close()

    def close(self) -> None:
        """The lab ends: all subscriptions do, and later ones at once."""
        self._closed = True
        for project_id in list(self._tables):
            self.end(project_id)
