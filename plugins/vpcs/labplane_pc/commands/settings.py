"""``set`` and ``clear``: what the PC is called, how long its packets may be, and what it forgets."""

from typing import TYPE_CHECKING

from labplane_pc.help_pages import page
from labplane_pc.words import is_number

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

LONGEST_NAME = 12
LEAST_MTU = 576
MOST_MTU = 65535
LINK = "The link of this PC is set with the API of labplane, not at its console.\n"
NO_DUMP = "set dump is not in the built-in engine; capture the packets on the link instead.\n"
NO_COLOR = "set echo color is not in the built-in engine; echo prints its text in the terminal's own color.\n"


def set_(pc: "VirtualPC", argv: list[str]) -> None:
    """Change a setting."""
    if len(argv) < 2 or argv[1:] == ["?"]:
        pc.print(page("set"))
        return
    for name, function in WHAT.items():
        if name.startswith(argv[1]):
            function(pc, argv)
            return
    pc.print("Invalid command.\n")


def _set_dump(pc: "VirtualPC", argv: list[str]) -> None:
    flags = ("mac", "raw", "detail", "all", "file", "off")
    if any(not any(flag.startswith(word) for flag in flags) for word in argv[2:]):
        pc.print("Invalid options\n")
    elif argv[2:] and all("off".startswith(word) for word in argv[2:]):
        pc.print("\ndump flags: (none)\n")
    else:
        pc.print(NO_DUMP)


def _set_mtu(pc: "VirtualPC", argv: list[str]) -> None:
    if len(argv) != 3 or not is_number(argv[2]):
        pc.print(page("set mtu"))
    elif len(argv[2]) < 10 and int(argv[2]) < LEAST_MTU:
        pc.print("Invalid MTU, should bigger than 576\n")
    else:
        pc.host.mtu = min(int(argv[2][:9]), MOST_MTU)


def _set_name(pc: "VirtualPC", argv: list[str]) -> None:
    if len(argv) != 3:
        pc.print("Incomplete command.\n")
    elif len(argv[2]) > LONGEST_NAME:
        pc.print(f"Hostname is too long. (Maximum {LONGEST_NAME} characters)\n")
    else:
        pc.name = argv[2]


def _set_echo(pc: "VirtualPC", argv: list[str]) -> None:
    if len(argv) < 3:
        pc.print("Incomplete command.\n")
    elif "color" in (word.lower() for word in argv[2:]):
        pc.print(NO_COLOR)
    elif argv[2].lower() in ("on", "off"):
        pc.echoes = argv[2].lower() == "on"


def _set_link(pc: "VirtualPC", argv: list[str]) -> None:
    pc.print(LINK if len(argv) == 3 else "Incomplete command.\n")


def clear(pc: "VirtualPC", argv: list[str]) -> None:
    """Forget addresses, a table or the history."""
    four, six = pc.host.four, pc.host.six
    if len(argv) < 2 or argv[1:] == ["?"]:
        pc.print(page("clear"))
    elif argv[1] == "ip":
        four.clear()
        pc.lease.forget()
        pc.print("IPv4 address/mask, gateway, DNS, and DHCP cleared\n")
    elif "ipv6".startswith(argv[1]):
        six.clear()
        pc.print("IPv6 address/mask and router link-layer address cleared\n")
    elif "arp".startswith(argv[1]):
        four.neighbours.clear()
    elif "neighbor".startswith(argv[1]):
        six.neighbours.clear()
    elif "hist".startswith(argv[1]):
        pc.history.clear()
    else:
        pc.print("Invalid options\n")


WHAT = {
    "dump": _set_dump,
    "mtu": _set_mtu,
    "lport": _set_link,
    "rport": _set_link,
    "rhost": _set_link,
    "pcname": _set_name,
    "echo": _set_echo,
}
