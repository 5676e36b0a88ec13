"""The program: ``python -I -m labplane_engine DIRECTORY LINGER UID GID``, a run of the keeper.

DIRECTORY: has its socket and its lock. LINGER: seconds that it stays when nobody needs it. UID, GID: of the user that
it becomes, -1 for no other. It says "ready" when its socket is there, and ends with its terminal, as emulators do.
"""

import asyncio
import fcntl
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from labplane_engine.engine import Engine

BACKLOG = 64
READY = b"ready\n"


def listening(directory: str) -> socket.socket:
    """The socket in `directory`, which no other engine has. Raises OSError."""
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=at)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    listener = socket.socket(socket.AF_UNIX)
    with suppress(FileNotFoundError):
        os.unlink("socket", dir_fd=at)
    listener.bind(f"/proc/self/fd/{at}/socket")
    os.chmod("socket", 0o600, dir_fd=at)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def become(uid: int, gid: int) -> None:
    """Be another user, for good."""
    if uid >= 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)


async def serve(listener: socket.socket, linger: float) -> None:
    engine = Engine(listener, linger)
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, engine.quit)
    os.write(1, READY)
    await engine.done.wait()


def main() -> None:
    directory, linger, uid, gid = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = listening(directory)
    become(int(uid), int(gid))
    os.chdir("/")
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        asyncio.run(serve(listener, float(linger)))
    finally:
        with suppress(OSError):
            Path(directory, "socket").unlink()


if __name__ == "__main__":
    main()
