"""Running a lab under uvicorn: its socket, its signals, its file descriptors."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from labplane.errors import LabError
from labplane.kernel import Kernel
from labplane.plugins.files import available
from labplane.programs.tools import tell_limits
from labplane.server import exposure
from labplane.server.app import make_app
from labplane.server.auth import token_in
from labplane.server.cgroup import ends_with_us
from labplane.server.connections import Connection
from labplane.server.limits import ConnectionCount, Limits, Place
from labplane.server.listening import address, file_of, listen
from labplane.server.logs import set_up_logging
from labplane.server.tls import TLSServer, context
from labplane.server.websocket import WebSocketConnection
from labplane.settings import Settings, SettingsError, expanded

log = logging.getLogger("labplane")

GRACE_SECONDS = 2
IDLE_SECONDS = 75  # a client must not post into a connection that is just being closed


def serve(read: Callable[[], Settings], meanwhile: AbstractContextManager[object] | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    read:      reads the settings, now and at each reload.
    meanwhile: what is to hold while the address is this server's.

    Raises SettingsError when they are bad, or when the address is taken.
    """

    def read_safe() -> Settings:
        return exposure.check(read())

    settings = read_safe()
    set_up_logging(settings.log_level, form=settings.log_format)
    with listen(settings) as listeners, meanwhile or contextlib.nullcontext():
        _prepare_process()
        _serve(listeners, settings, read_safe)


def _serve(listeners: list[socket.socket], settings: Settings, read: Callable[[], Settings]) -> None:
    lab = Kernel(settings, available(settings))
    lab.read_settings = read
    limits = _limits(settings)
    count = ConnectionCount(limits)
    encrypted: Callable[..., TLSServer] | None = None
    if settings.certfile is not None:
        encrypted = partial(TLSServer, limits, count, context(settings.certfile, settings.keyfile))
    config = uvicorn.Config(
        make_app(lab, _token(settings), started=True),
        lifespan="on",
        log_config=None,
        access_log=settings.access_log,
        proxy_headers=False,  # anybody at loopback could say in them who it is not
        server_header=False,
        date_header=True,
        headers=[("Server", f"labplane/{version('labplane')}")],
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=IDLE_SECONDS,
        http=cast(Any, partial(Connection, limits, count)),
        ws=cast(Any, partial(WebSocketConnection, limits, count)),
        ws_max_size=settings.max_frame,
    )
    config.load()
    server = _Server(config, lab, encrypted)

    def stop() -> None:
        server.should_exit = True

    lab.stop_server = stop
    if (file := file_of(listeners[0])) is not None:
        lab.at_end(lambda: asyncio.to_thread(file.unlink, missing_ok=True))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: stop())
    place, *others = [address(listener, encrypted=settings.certfile is not None) for listener in listeners]
    log.info("labplane %s at %s, projects in %s", version("labplane"), place, settings.projects_path)
    for other in others:
        log.info("also at %s", other)
    log.info("%s", exposure.describe(settings))
    if (reason := ends_with_us()) is not None:
        log.info("%s", reason)
    log.info("plugins: %s", ", ".join(f"{one.name} ({one.source})" for one in lab.plugins.active) or "none")
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=listeners)
    if not server.started:
        raise SettingsError("the server did not start; its log says why")


class _Server(uvicorn.Server):
    """Ends the streams of events first, which would keep it waiting for as long as it would wait for anybody.

    Python's garbage collector leaves alone what is there once it has started, which is there to stay: to look through
    that again and again would keep everybody waiting, for 20 ms each time.
    """

    def __init__(self, config: uvicorn.Config, lab: Kernel, encrypted: Callable[..., TLSServer] | None) -> None:
        """encrypted: makes what accepts the connections of a listener, when that is not uvicorn."""
        super().__init__(config)
        self._lab = lab
        self._encrypted = encrypted

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await self._lab.start()  # here, since of what fails in a lifespan uvicorn logs a traceback and exits
        except LabError as error:
            await self._lab.end()
            raise SettingsError(f"The server cannot start: {error}") from None
        if self._encrypted is None or sockets is None:
            await super().startup(sockets)
        else:
            await super().startup([])
            self.servers = [cast(Any, self._encrypted(self._make, listener)) for listener in sockets]
        self._lab.background(_warm_up(self._lab))
        gc.freeze()

    def _make(self, place: Place) -> HttpToolsProtocol:
        """The protocol of a connection that has that place, as uvicorn makes it."""
        make = cast(Callable[..., HttpToolsProtocol], self.config.http_protocol_class)
        return make(place=place, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._lab.events.close()
        await super().shutdown(sockets)


async def _warm_up(lab: Kernel) -> None:
    """Start the keeper before the first VM needs it, and say what it can limit."""
    try:
        await lab.terminals.warm_up()
        await tell_limits(lab)
    except (OSError, LabError) as error:
        log.error("No VM can be started: %s", error)


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.max_connections,
        settings.max_peer_connections,
        settings.max_head,
        settings.head_seconds,
        settings.stall_seconds,
        settings.keepalive_seconds,
    )


def _token(settings: Settings) -> str | None:
    """What clients need. One that is made now is told, this once, on stdout; no log ever has it."""
    if settings.auth == "off":
        return None
    if settings.token is not None:
        return settings.token
    path = expanded("token_file", settings.token_file)
    token, fresh = token_in(path)
    if fresh:
        print(f"The token of this server, kept in {path}: {token}", flush=True)
    return token


def _prepare_process() -> None:
    """As many file descriptors as allowed; those inherited from whoever started the server do not reach emulators."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for descriptor in os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else ():
        if int(descriptor) > 2:
            with contextlib.suppress(OSError):
                os.set_inheritable(int(descriptor), False)
