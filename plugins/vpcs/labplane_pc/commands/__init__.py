"""The commands of the console, by name. Any beginning that only one of them has stands for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from labplane_pc.commands import files, others, settings
from labplane_pc.commands.ip import ip
from labplane_pc.commands.ping import ping
from labplane_pc.commands.show import history, neighbor, show, version
from labplane_pc.commands.trace import trace
from labplane_pc.tasks import Task

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

Command = Callable[["VirtualPC", list[str]], Task | None]

COMMANDS: dict[str, Command] = {
    "?": others.help_,
    "arp": show,
    "clear": settings.clear,
    "dhcp": ip,
    "disconnect": others.disconnect,
    "help": others.help_,
    "history": history,
    "relay": others.relay,
    "ip": ip,
    "load": files.load,
    "neighbor": neighbor,
    "ping": ping,
    "quit": others.quit_,
    "tracer": trace,
    "rlogin": others.rlogin,
    "save": files.save,
    "write": files.save,
    "set": settings.set_,
    "show": show,
    "version": version,
    "sleep": others.sleep,
    "zzz": others.sleep,
}
PREFIXED = {"arp": "show", "dhcp": "ip"}
WITHOUT_PAGE = frozenset(("disconnect", "history", "neighbor", "quit", "version"))
