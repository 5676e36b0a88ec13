"""The internals of uvicorn that the server's connections override or read: each is there, and uvicorn still uses it."""

import ast
import inspect
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.protocols.websockets import websockets_sansio_impl

from labplane.server import connections, websocket

HTTP = httptools_impl.HttpToolsProtocol
WEBSOCKET = websockets_sansio_impl.WebSocketsSansIOProtocol
BY_ASYNCIO = {"connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"}
BY_HTTPTOOLS = {"on_headers_complete", "on_body", "on_message_complete"}
BY_UVICORN = {"on_response_complete", "send_400_response", "handle_websocket_upgrade", "timeout_keep_alive_handler"}
BY_UVICORN |= {"_start_asgi_task"}
ON_MESSAGES = {"receive", "handle_cont", "send_receive_event_to_app"}
OVERRIDDEN: dict[type, tuple[type, set[str]]] = {
    connections.Connection: (HTTP, BY_ASYNCIO | BY_HTTPTOOLS | BY_UVICORN),
    websocket.WebSocketConnection: (WEBSOCKET, (BY_ASYNCIO - {"data_received"}) | ON_MESSAGES),
}
READ: dict[type, set[str]] = {
    connections.Connection: {
        *("app", "cycle", "flow", "headers", "loop", "pipeline", "scope", "server_state", "transport", "url"),
        "_unset_keepalive_if_required",
    },
    websocket.WebSocketConnection: {
        *("close_sent", "conn", "curr_msg_data_type", "frames", "handle_parser_exception", "read_paused", "transport"),
        "writable",
    },
}
OF_A_CYCLE = {"disconnected", "keep_alive", "message_event", "response_complete", "response_started", "scope"}
OF_A_CYCLE |= {"transport", "waiting_for_100_continue"}


@pytest.mark.parametrize("ours", OVERRIDDEN)
def test_what_is_overridden_is_there_and_called(ours: type) -> None:
    base, expected = OVERRIDDEN[ours]
    own = {name for name in vars(ours) if callable(vars(ours)[name]) and not name.startswith("__")}
    assert expected <= own
    assert {name for name in own if hasattr(base, name)} == expected, "another one hides something of uvicorn's"
    used = inspect.getsource(base)
    for name in expected - BY_ASYNCIO - BY_HTTPTOOLS:
        assert f"self.{name}" in used, f"uvicorn {uvicorn.__version__} does not use {name}"


@pytest.mark.parametrize("ours", READ)
def test_the_attributes_that_are_read_are_there(ours: type) -> None:
    """Those that the source names are the ones listed here, and uvicorn sets each."""
    base, _ = OVERRIDDEN[ours]
    tree = ast.parse(Path(inspect.getfile(ours)).read_text())
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == ours.__name__)
    named = {node.attr for node in ast.walk(body) if _is_of(node, "self") and isinstance(node, ast.Attribute)}
    set_here = {
        node.attr for node in ast.walk(body) if _is_of(node, "self", ast.Store) and isinstance(node, ast.Attribute)
    }
    own = set(vars(ours)) | {name for name in set_here if name.startswith("_")}
    assert named - own == READ[ours]
    theirs = inspect.getsource(base)
    for name in READ[ours]:
        assert hasattr(base, name) or f"self.{name}" in theirs, f"uvicorn {uvicorn.__version__} has no {name}"


def test_a_cycle_has_what_is_read_of_it() -> None:
    theirs = inspect.getsource(httptools_impl.RequestResponseCycle)
    for name in OF_A_CYCLE:
        assert f"self.{name}" in theirs, f"uvicorn {uvicorn.__version__} has no {name}"


def test_so_have_its_flow_and_its_state() -> None:
    assert {"read_paused", "resume_reading"} <= {*vars(flow_control.FlowControl), *_set_in(flow_control.FlowControl)}
    assert "default_headers" in _set_in(type(uvicorn.Server(uvicorn.Config("x")).server_state))
    assert httptools_impl.STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")


def _is_of(node: ast.AST, name: str, how: type[ast.expr_context] = ast.expr_context) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and isinstance(node.ctx, how)
    )


def _set_in(of: type) -> set[str]:
    source = inspect.getsource(of)
    return {name for name in ("read_paused", "default_headers") if f"self.{name}" in source}
