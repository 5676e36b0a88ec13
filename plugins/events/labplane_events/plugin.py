"""The events plugin: events of one project as GNS3 1.x has them; all events as server-sent ones and on a WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, ClassVar

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from labplane import Event, Lab, Plugin, Request, Route, Schema, Subscription, hook
from labplane_events.load import Load
from labplane_events.stream import Stream

TOO_SLOW = 1013

Form = Callable[[Event], str]


class Events(Plugin):
    """Event streams: section 17 of docs/api.md."""

    settings: ClassVar[Mapping[str, Schema]] = {
        "ping_seconds": {"type": "number", "minimum": 0.05, "maximum": 3600, "default": 5},
    }

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab, config)
        self._load = Load()
        lab.at_start(self._start)

    async def _start(self) -> None:
        self._load.begin()

    @hook
    def schemas(self) -> Mapping[str, Schema]:
        return {
            "Event": {
                "type": "object",
                "properties": {
                    "action": {"type": "string", "examples": ["ping", "vm.started", "log.error"]},
                    "event": {"type": "object", "description": "a VM object, {message}, or the load of the host"},
                    "project_id": {"type": ["string", "null"]},
                },
                "required": ["action", "event"],
            }
        }

    @hook
    def routes(self) -> Iterable[Route]:
        event: Schema = {"$ref": "labplane:Event"}
        text: Schema = {"type": "string", "description": "for each event its action, and the event as JSON"}
        return [
            Route(
                "GET",
                "/v1/projects/{project_id}/notifications",
                self.notifications,
                reply=event,
                summary="The events of a project, one JSON object after the other, without end",
            ),
            Route(
                "GET",
                "/v1/events",
                self.server_sent,
                reply=text,
                summary="The events of all projects, as server-sent events",
                media="text/event-stream",
            ),
            Route("WEBSOCKET", "/v1/events", self.talk, status=101, summary="The events of all projects"),
        ]

    def notifications(self, request: Request) -> Response:
        """W-1."""
        subscription = self.lab.events.listen(request.project_id)
        return Stream(subscription, self._told(subscription, _line), "application/json")

    def server_sent(self, _: Request) -> Response:
        """W-8."""
        subscription = self.lab.events.listen()
        return Stream(subscription, self._told(subscription, _server_sent), "text/event-stream")

    async def talk(self, _: Request, websocket: WebSocket) -> None:
        """W-9."""

        async def until_gone() -> None:
            while (await websocket.receive())["type"] != "websocket.disconnect":
                pass

        with self.lab.events.listen() as subscription:
            await websocket.accept()
            watch = asyncio.ensure_future(until_gone())
            watch.add_done_callback(lambda _: subscription.close())
            try:
                async for text in self._told(subscription, _whole):
                    await websocket.send_text(text)
            finally:
                watch.cancel()
            if watch.done():
                raise WebSocketDisconnect
            if subscription.lagged:
                await websocket.close(TOO_SLOW, "This client reads too slowly; connect again.")

    async def _told(self, subscription: Subscription, form: Form) -> AsyncIterator[str]:
        """A ping, then each event as it comes, and another ping whenever `ping_seconds` passed without an event."""
        yield form(self._ping())
        while not subscription.over:
            event = await subscription.within(self.config["ping_seconds"])
            if event is not None:
                yield form(event)
            elif not subscription.over:
                yield form(self._ping())

    def _ping(self) -> Event:
        load = self._load.shown()
        return Event("ping", load, None, json.dumps(load))


def _line(event: Event) -> str:
    return f'{{"action": {json.dumps(event.action)}, "event": {event.text}}}\n'


def _whole(event: Event) -> str:
    ids = json.dumps(event.project_id)
    return f'{{"action": {json.dumps(event.action)}, "event": {event.text}, "project_id": {ids}}}'


def _server_sent(event: Event) -> str:
    return f"event: {' '.join(event.action.split())}\ndata: {_whole(event)}\n\n"
