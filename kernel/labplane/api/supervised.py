"""Routes of plugins whose endpoints are called under supervision."""

from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from starlette.websockets import WebSocketDisconnect

from labplane.api.route import WEBSOCKET, Request, Route
from labplane.reports import Report
from labplane.supervision import Supervisor


def supervised(supervisor: Supervisor, report: Report, route: Route) -> Route:
    """`route` with an endpoint that `supervisor` calls; its time is bounded if it holds a VM's lock.

    report: of the plugin that brought the route, for its faults.
    """
    if not (isinstance(route, Route) and callable(route.endpoint)):
        return route  # for the table of routes to refuse
    endpoint, what = route.endpoint, f"{route.method} {route.path}"
    bounded = "{vm_id}" in route.path and route.method != WEBSOCKET

    def call(request: Request, *more: Any) -> Any:
        project_id = request.path.get("project_id")
        reply = supervisor.run(report, what, endpoint, request, *more, project_id=project_id)
        if not isinstance(reply, Coroutine):
            return reply
        if route.method == WEBSOCKET:
            reply = _until_hung_up(reply)
        return supervisor.call(report, what, reply, bounded=bounded, project_id=project_id)

    return replace(route, endpoint=call)


async def _until_hung_up(conversation: Coroutine[Any, Any, None]) -> None:
    with suppress(WebSocketDisconnect):  # that the client leaves is no fault of the plugin
        await conversation
