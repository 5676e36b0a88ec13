"""A small disk of its own, in a mount namespace that outlives the servers which work there."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support import until

WAYS = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])


class SmallDisk:
    """A disk in a namespace.

    place:  where processes in the namespace see it; seen: where all others do.
    within: a command that runs another one in the namespace.
    """

    def __init__(self, place: Path, holder: int, enter: tuple[str, ...]) -> None:
        self.place = place
        self.within = ("nsenter", "--target", str(holder), *enter, "--")
        self.seen = Path(f"/proc/{holder}/root{place}")

    @property
    def ballast(self) -> Path:
        return self.seen / "ballast"

    def fill(self) -> None:
        """Take all space."""
        with self.ballast.open("ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(b"x" * 4096)
        assert os.statvfs(self.ballast).f_bavail == 0

    def make_room(self) -> None:
        self.ballast.unlink()

    def remount(self, how: str) -> None:
        """Mount it anew as "ro" or "rw", as soon as nothing there is open for writing."""
        command = [*self.within, "mount", "-o", f"remount,{how}", str(self.place)]
        until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, "the disk to be free")


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[SmallDisk]:
    """A tmpfs at `place`, with these options of mount."""
    place.mkdir()
    for way in WAYS:
        enter = ("--mount",) if "--user" not in way else ("--user", "--preserve-credentials", "--mount")
        command = [
            *way,
            "sh",
            "-c",
            f'mount -t tmpfs -o {options} tmpfs "$0" && echo ready && exec sleep 3600',
            str(place),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as holder:
            try:
                assert holder.stdout is not None
                if holder.stdout.readline() == "ready\n":
                    yield SmallDisk(place, holder.pid, enter)
                    return
            finally:
                holder.kill()
    if os.environ.get("CI"):
        pytest.fail("no mount namespace can be made here")
    pytest.skip("no mount namespace can be made here")
