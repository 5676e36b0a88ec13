"""The files of a PC, as VPCS writes and reads them: its configuration, of commands, and its history."""

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from labplane_pc import ipv4, ipv6
from labplane_pc.editor import LONGEST_LINE, MOST_HISTORY
from labplane_pc.help_pages import page
from labplane_pc.host import MTU
from labplane_pc.tasks import Task
from labplane_pc.words import text

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

STARTUP = "startup.vpc"
HISTORY = "vpcs.hist"
LONGEST_FILE = 1024 * 1024
LONGEST_NAME = 200
DRAFT = ".saving"


class Directory:
    """The directory of a PC, by an open descriptor: files directly in it, no links, nothing outside of it."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, name: str) -> bytes:
        """What is in a file, at most `LONGEST_FILE` bytes. Raises OSError or ValueError."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(_checked(name), flags, dir_fd=self._descriptor), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is no file")
            return file.read(LONGEST_FILE)

    def write(self, name: str, content: bytes) -> None:
        """Put `content` into a file, in place of what was there, whole or not at all. Raises OSError or ValueError."""
        name, draft = _checked(name), f"{_checked(name)}{DRAFT}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(draft, flags, 0o644, dir_fd=self._descriptor), "wb") as file:
                file.write(content)
            os.replace(draft, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=self._descriptor)
            raise


def _checked(name: str) -> str:
    if "/" in name or "\0" in name or name in ("", ".", "..") or len(name.encode()) > LONGEST_NAME:
        raise ValueError("it is no name of a file in the PC's directory")
    return name


def save(pc: "VirtualPC", argv: list[str]) -> None:
    """Write the commands that make the PC what it is now."""
    if len(argv) > 2 or argv[1:] == ["?"]:
        pc.print(page("save"))
        return
    name = argv[1] if len(argv) == 2 else STARTUP
    name = name if "." in name else f"{name}.vpc"
    lines = "".join(f"{line}\n" for line in configuration(pc))
    try:
        pc.directory.write(name, lines.encode("latin-1", "replace"))
    except OSError as error:
        pc.print(f"failed: {os.strerror(error.errno or 0)}\n")
        return
    except ValueError as error:
        pc.print(f"failed: {error}\n")
        return
    pc.print(f"Saving startup configuration to {name}\n.  done\n")


def configuration(pc: "VirtualPC") -> list[str]:
    """The commands that make the PC what it is now."""
    four, six = pc.host.four, pc.host.six
    lines = [f"set pcname {pc.name}"]
    if pc.lease.wanted:
        lines.append("dhcp")
    else:
        if four.address != ipv4.ANY:
            gateway = f" {text(four.gateway)}" if four.gateway != ipv4.ANY else ""
            lines.append(f"ip {text(four.address)}{gateway} {four.prefix}")
        if six.address != ipv6.ANY:
            lines.append(f"ip {text(six.address)}/{six.prefix}")
        if four.domain:
            lines.append(f"ip domain {four.domain}")
        if four.dns[0] != ipv4.ANY:
            lines.append(" ".join(["ip dns", *(text(server) for server in four.dns if server != ipv4.ANY)]))
    if six.automatic:
        lines.append("ip auto")
    if pc.host.mtu != MTU:
        lines.append(f"set mtu {pc.host.mtu}")
    return lines


def recall_history(pc: "VirtualPC") -> None:
    """Take up the lines that were typed before the PC ended last."""
    lines = (_content(pc, HISTORY) or b"").split(b"\n")
    pc.history[:] = [line[:LONGEST_LINE] for line in lines if line][-MOST_HISTORY:]


def keep_history(pc: "VirtualPC") -> None:
    """Write the lines that were typed to the file of VPCS, which does so at ``quit`` alone; none leave no file."""
    if pc.history:
        with contextlib.suppress(OSError):
            pc.directory.write(HISTORY, b"".join(line + b"\n" for line in pc.history))


def load(pc: "VirtualPC", argv: list[str]) -> Task:
    """Carry out the commands in a file."""
    if len(argv) > 2 or argv[1:] == ["?"]:
        pc.print(page("load"))
        return
    name = argv[1] if len(argv) == 2 else STARTUP
    content = _content(pc, name)
    if content is None and "." not in name:
        content = _content(pc, f"{name}.vpc")
    if content is None:
        pc.print(f'Can\'t open "{name}"\n')
        return
    pc.print(f'\nExecuting the file "{name}"\n')
    yield from carry_out(pc, content)


def startup(pc: "VirtualPC") -> Task:
    """Carry out the startup file, if there is one."""
    content = _content(pc, STARTUP)
    if content is not None:
        pc.print("\nExecuting the startup file\n")
        yield from carry_out(pc, content)


def carry_out(pc: "VirtualPC", content: bytes) -> Task:
    """Carry out lines of commands. One that is too long to be typed is left out, with a word."""
    if pc.depth >= pc.MOST_DEPTH:
        pc.print("Files that load each other are not carried out any deeper.\n")
        return
    pc.depth += 1
    try:
        for number, line in enumerate(content.split(b"\n"), 1):
            if len(line.rstrip()) > LONGEST_LINE:
                pc.print(f"Line {number} is left out: it has more than {LONGEST_LINE} bytes.\n")
            elif command := line.decode("utf-8", "replace").rstrip():
                yield from pc.carry_out(command, is_loaded=True)
    finally:
        pc.depth -= 1


def _content(pc: "VirtualPC", name: str) -> bytes | None:
    try:
        return pc.directory.read(name)
    except (OSError, ValueError):
        return None
