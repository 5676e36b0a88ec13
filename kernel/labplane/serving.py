"""Running a lab under uvicorn: its socket, its signals, its file descriptors."""

import contextlib
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

import uvicorn

from labplane.app import make_app
from labplane.lab import Lab
from labplane.plugin_files import available
from labplane.settings import Settings, SettingsError

log = logging.getLogger("labplane")

GRACE_SECONDS = 2
IDLE_SECONDS = 75  # a client must not post into a connection that is just being closed


def serve(read: Callable[[], Settings], meanwhile: AbstractContextManager[object] | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    read:      reads the settings, now and at each reload.
    meanwhile: what is to hold while the address is this server's.

    Raises SettingsError when they are bad, or when the address is taken.
    """
    settings = read()
    set_up_logging(settings.log_level)
    with _listen(settings.host, settings.port) as listener, meanwhile or contextlib.nullcontext():
        _prepare_process()
        _serve(listener, settings, read)


def _serve(listener: socket.socket, settings: Settings, read: Callable[[], Settings]) -> None:
    lab = Lab(settings, available(settings))
    lab.read_settings = read
    config = uvicorn.Config(
        make_app(lab),
        lifespan="on",
        log_config=None,
        access_log=settings.access_log,
        server_header=False,
        date_header=True,
        headers=[("Server", f"labplane/{version('labplane')}")],
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=IDLE_SECONDS,
        ws_max_size=settings.max_body,
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    lab.stop_server = stop
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: stop())
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("labplane %s at http://%s:%s, projects in %s", version("labplane"), shown, port, settings.projects_path)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        raise SettingsError("the server did not start; its log says why")


def _listen(host: str, port: int) -> socket.socket:
    """Bound before any plugin runs, so that a second server on one address touches nothing of the first."""
    listener: socket.socket | None = None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another --host or --port"
        ) from None
    return listener


def _prepare_process() -> None:
    """As many file descriptors as allowed; those inherited from whoever started the server do not reach emulators."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for descriptor in os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else ():
        if int(descriptor) > 2:
            with contextlib.suppress(OSError):
                os.set_inheritable(int(descriptor), False)


def set_up_logging(level: str, file: Path | None = None) -> None:
    """Log to `file` or else to stderr; called again, it changes the level and nothing else. May raise OSError."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING, filename=file, encoding="utf-8"
    )
    logging.getLogger("labplane").setLevel(level.upper())
    logging.getLogger("uvicorn.error").setLevel("WARNING" if level == "info" else level.upper())
    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
