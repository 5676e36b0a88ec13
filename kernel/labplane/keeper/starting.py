"""Finding the keeper of a directory, starting one, and the archive of its program for one that is older."""

import io
import os
import socket
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import labplane_keeper
from labplane_keeper.visiting import connect

PROGRAM = Path(labplane_keeper.__file__).parent
ENTRY = PROGRAM / "keeper.py"
READY = b"ready\n"


def connected(directory: Path) -> socket.socket:
    """A non-blocking connection to the program whose socket is in `directory`; see `connect` for what it raises."""
    end = connect(directory)
    end.setblocking(False)
    return end


def keeper_command(directory: Path, linger: float, *, bound: bool) -> list[str]:
    """The argument list of the keeper of `directory`."""
    return [sys.executable, "-IS", str(ENTRY), str(directory.absolute()), str(linger), str(int(bound))]


def start(directory: Path, linger: float, bound: bool) -> int:
    """Start the keeper of `directory`, which is made when missing, and wait until it is ready; its pid.

    It inherits nothing but where its faults are written. Raises OSError when it does not start: ChildProcessError with
    its last words.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(directory / "log", flags, 0o600)
    ready, said = os.pipe2(os.O_CLOEXEC)
    try:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        command = keeper_command(directory, linger, bound=bound)
        descriptors = ((os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, log, 2))
        try:
            pid = os.posix_spawn(command[0], command, {}, file_actions=descriptors, setsid=True)
        finally:
            for descriptor in (null, said, log):
                os.close(descriptor)
        with open(ready, "rb", closefd=False) as pipe:
            word = pipe.readline()
    finally:
        os.close(ready)
    if word != READY:
        reap(pid)
        with (directory / "log").open(errors="replace") as file:
            words = file.read().strip().rsplit("\n", 1)[-1]
        raise ChildProcessError(f"The keeper of {directory} does not start: {words or 'it says nothing'}")
    return pid


def reap(pid: int) -> None:
    """Wait for the end of a program that this process started, and let go of it."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def archive() -> int:
    """A descriptor of a file in memory with the whole program, to be handed to a keeper that is older."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.write(PROGRAM / "__main__.py", "__main__.py")
        for path in sorted(PROGRAM.glob("*.py")):
            file.write(path, f"{PROGRAM.name}/{path.name}")
    memory = os.memfd_create("keeper")
    os.write(memory, packed.getvalue())
    return memory
