"""The sockets on which the server listens: TCP, or a Unix socket that only its owner can reach."""

import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from labplane.consoles.sockets import bound
from labplane.settings import Settings, SettingsError, expanded

BACKLOG = 1024


@contextmanager
def listen(settings: Settings) -> Iterator[list[socket.socket]]:
    """The listening sockets of the server, one for each address of its host, or a Unix socket; closed in the end.

    They are bound before any plugin runs, so that a second server at one address touches nothing of the first. Raises
    SettingsError when an address cannot be had.
    """
    if settings.uds is None:
        listeners = _tcp(settings.host, settings.port)
    else:
        listeners = [_unix(expanded("uds", settings.uds).absolute())]
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        yield listeners


def file_of(listener: socket.socket) -> Path | None:
    """The file of a Unix socket, which has to be removed at the end."""
    return Path(listener.getsockname()) if listener.family == socket.AF_UNIX else None


def address(listener: socket.socket, *, encrypted: bool) -> str:
    """Where clients find the server: "http://127.0.0.1:8000", or "unix:" and the path."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{'https' if encrypted else 'http'}://{host}:{name[1]}"


def _tcp(host: str, port: int) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listeners = bound((family, place) for family, _, _, _, place in found)
        for listener in listeners:
            listener.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name of a host"
        raise SettingsError(f"cannot listen on {host} port {port}: {reason}; choose another --host or --port") from None
    return listeners


def _unix(path: Path) -> socket.socket:
    """Its directory, which is made when missing, must be closed to others: not all systems heed a socket's own mode."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"'uds': others may enter {path.parent}; choose a directory of mode 0700")
        if path.is_socket() and not _answers(path):
            path.unlink()  # a server that was killed left it
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on {path}: {error.strerror or error}; choose another --uds") from None
    except BaseException:
        listener.close()
        raise
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
