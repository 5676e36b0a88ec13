"""FRR's configuration of a node: a file in its directory, which ``write`` at its vtysh replaces, and its daemons."""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from labplane import Conflict, Unavailable

FOLDER, NAME = "frr", "frr.conf"
DRAFT = f".labplane-{NAME}"
LONGEST = 1024 * 1024
PROGRAMS = Path("/usr/lib/frr")
BASIC = ("zebra", "staticd")
WORDS = {  # in a configuration, for which a daemon has to run
    "ospfd": r"router ospf\b|ip ospf ",
    "ospf6d": r"router ospf6|ipv6 ospf6 ",
    "bgpd": r"router bgp ",
    "ripd": r"router rip\b",
    "ripngd": r"router ripng",
    "isisd": r"router isis ",
    "eigrpd": r"router eigrp ",
    "babeld": r"router babel",
    "bfdd": r"bfd\b",
    "pimd": r"ip pim\b",
    "ldpd": r"mpls ldp",
    "vrrpd": r"vrrp ",
}


def exists(directory: Path) -> bool:
    """Whether a node has a configuration; one system call, unlike reading it."""
    try:
        return stat.S_ISREG(os.lstat(f"{directory}/{FOLDER}/{NAME}").st_mode)
    except OSError:
        return False


def read(directory: Path) -> str | None:
    """The configuration as it is now; None when there is none, or it is longer than `LONGEST`.

    The node may put what it likes in the place of its file, so no link is followed, and no pipe waited for.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with _folder(directory) as folder, open(os.open(NAME, flags, dir_fd=folder), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(LONGEST + 1) if regular else None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    return None if content is None or len(content) > LONGEST else content.decode("utf-8", "replace")


def write(directory: Path, text: str | None) -> None:
    """Make `text` the configuration; None or an empty one removes it. Raises Conflict, OSError."""
    if text:
        with suppress(FileExistsError):
            (directory / FOLDER).mkdir()
    elif not (directory / FOLDER).is_dir():
        return
    try:
        with _folder(directory) as number:
            with suppress(FileNotFoundError):
                os.unlink(DRAFT if text else NAME, dir_fd=number)
            if text:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with open(os.open(DRAFT, flags, 0o644, dir_fd=number), "wb") as file:
                    file.write(text.encode())
                os.replace(DRAFT, NAME, src_dir_fd=number, dst_dir_fd=number)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EEXIST):
            raise Conflict(f"There is something else where {FOLDER}/{NAME} of the VM belongs; remove it.") from None
        raise


def daemons(text: str | None, named: Sequence[str]) -> list[str]:
    """The daemons that must run for this configuration, and those that are named, in the order in which they start."""
    lines = [line.strip() for line in (text or "").splitlines()]
    found = {name for name, words in WORDS.items() if any(re.match(words, line) for line in lines)} | set(named)
    return [*BASIC, *sorted(found)] if found or lines else []


def require(names: Sequence[str]) -> None:
    """Raise Unavailable when one of these daemons is not installed."""
    missing = [name for name in names if not (PROGRAMS / name).exists()]
    if missing:
        raise Unavailable(
            f"This server does not have FRR's {', '.join(missing)} in {PROGRAMS}. On Debian: apt-get install frr; its "
            "service need not run."
        )


@contextmanager
def _folder(directory: Path) -> Iterator[int]:
    """The directory of the configuration, open; it is a directory of the VM and no link."""
    number = os.open(directory / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield number
    finally:
        os.close(number)
