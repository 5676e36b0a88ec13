"""``show`` and its like: what the PC has and knows."""

from typing import TYPE_CHECKING

from labplane_pc import ipv4, ipv6
from labplane_pc.ethernet import mac_text
from labplane_pc.help_pages import page
from labplane_pc.host6 import NO_MAC
from labplane_pc.neighbours import SECONDS
from labplane_pc.words import is_number, text

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC


def show(pc: "VirtualPC", argv: list[str]) -> None:
    """Print one thing, or all addresses in a table."""
    if len(argv) == 1:
        _show_all(pc)
        return
    for name, function in WHAT.items():
        if name.startswith(argv[1]) and (name != "ip" or argv[1] == "ip"):
            function(pc, argv)
            return
    pc.print("Invalid arguments\n")


def label(pc: "VirtualPC") -> str:
    """The name in tables."""
    return "VPCS1" if pc.name == "VPCS" else pc.name


def _row(*cells: tuple[int, str]) -> str:
    """A line of a table: each cell at its column, over what is there."""
    row = ""
    for column, cell in cells:
        row = row[:column].ljust(column) + cell
    return row


def _show_all(pc: "VirtualPC") -> None:
    four, link = pc.host.four, pc.link
    network = f"{text(four.address)}/{four.prefix}"
    head: list[tuple[int, str]] = [(0, "NAME"), (7, "IP/MASK"), (28, "GATEWAY")]
    cells = [(0, label(pc)), (7, network), (28, text(four.gateway))]
    if link.tap:
        head.append((64, "GATEWAY"))
    else:
        head += [(46, "MAC"), (65, "LPORT"), (72, "RHOST:PORT")]
        cells += [(46, mac_text(pc.host.mac)), (65, str(link.lport)), (72, f"{link.rhost}:{link.rport}")]
    pc.print(f"\n{_row(*head)}\n{_row(*cells)}\n")
    six = pc.host.six
    pc.print(f"       {text(six.link_local)}/64\n")
    if six.address != ipv6.ANY:
        pc.print(f"       {text(six.address)}/{six.prefix} {'eui-64' if six.eui64 else ''}\n")


def _show_ip(pc: "VirtualPC", argv: list[str]) -> None:
    four, lease = pc.host.four, pc.lease
    servers = [text(server) for server in four.dns if server != ipv4.ANY]
    network = f"{text(four.address)}/{four.prefix}"
    if len(argv) == 3 and "all".startswith(argv[2]):
        head = _row((0, "NAME"), (7, "IP/MASK"), (28, "GATEWAY"), (46, "MAC"), (65, "DNS"))
        row = _row((0, label(pc)), (7, network), (28, text(four.gateway)), (46, mac_text(pc.host.mac)), (65, ""))
        pc.print(f"\n{head}\n{row}{' '.join(servers)}\n")
        return
    if len(argv) != 2 and argv[2:] != ["1"]:
        pc.print(page("show ip"))
        return
    pc.print(f"\nNAME        : {pc.name}[1]\nIP/MASK     : {network}\nGATEWAY     : {text(four.gateway)}\n")
    first = f"{text(four.dns[0])}  " if four.dns[0] != ipv4.ANY else ""
    second = text(four.dns[1]) if four.dns[1] != ipv4.ANY else ""
    pc.print(f"DNS         : {first}{second}\n")
    if lease.wanted and lease.server != ipv4.ANY:
        left = max(0, int(lease.lease - (pc.now - lease.began)))
        pc.print(f"DHCP SERVER : {text(lease.server)}\n")
        pc.print(f"DHCP LEASE  : {left}, {lease.lease}/{lease.renew}/{lease.rebind}\n")
    if four.domain:
        pc.print(f"DOMAIN NAME : {four.domain}\n")
    pc.print(f"MAC         : {mac_text(pc.host.mac)}\n")
    pc.print(f"LPORT       : {pc.link.lport}\nRHOST:PORT  : {pc.link.rhost}:{pc.link.rport}\n")
    pc.print(f"MTU         : {pc.host.mtu}\n")


def _show_ipv6(pc: "VirtualPC", argv: list[str]) -> None:
    six = pc.host.six
    pc.print("\n")
    if len(argv) == 3 and "all".startswith(argv[2]):
        _show_ipv6_table(pc)
        return
    if len(argv) != 2 and argv[2:] != ["1"]:
        pc.print(page("show ipv6"))
        return
    network = f"{text(six.address)}/{six.prefix}" if six.address != ipv6.ANY else ""
    servers = [text(server) for server in six.dns if server != ipv6.ANY]
    pc.print(f"NAME              : {pc.name}[1]\nLINK-LOCAL SCOPE  : {text(six.link_local)}/64\n")
    pc.print(f"GLOBAL SCOPE      : {network}\nDNS               : {' '.join(servers)}\n")
    pc.print(f"ROUTER LINK-LAYER : {mac_text(six.router_mac) if six.router_mac != NO_MAC else ''}\n")
    pc.print(f"MAC               : {mac_text(pc.host.mac)}\nLPORT             : {pc.link.lport}\n")
    pc.print(f"RHOST:PORT        : {pc.link.rhost}:{pc.link.rport}\nMTU:              : {pc.host.mtu}\n")


def _show_ipv6_table(pc: "VirtualPC") -> None:
    six = pc.host.six
    network = f"{text(six.address)}/{six.prefix}" if six.address != ipv6.ANY else ""
    router = 9 + len(network)
    pc.print(f"{_row((0, 'NAME'), (7, 'IP/MASK'), (router, 'ROUTER LINK-LAYER'), (router + 19, 'MTU'))}\n")
    line = _row((0, label(pc)), (7, f"{text(six.link_local)}/64"))
    if network:
        pc.print(f"{line}\n")
        line = f"       {network}"
    mac = f"{mac_text(six.router_mac)} " if six.router_mac != NO_MAC else " " * 17
    pc.print(f"{line.ljust(router)}{mac} {pc.host.mtu:04d}\n")


def _of_this_pc(pc: "VirtualPC", argv: list[str]) -> bool:
    """Whether a table of this PC is wanted, as opposed to another of the same VPCS, which there is not."""
    pc.print("\n")
    if len(argv) != 3 or argv[2] == "1":
        return True
    if "all".startswith(argv[2]):
        pc.print(f"{pc.name}[1]:\n")
        return True
    if is_number(argv[2]) and len(argv[2]) == 1 and argv[2] != "0":
        pc.print(f"[{argv[2]}]:\n")
        return False
    pc.print("Invalid ID\n")
    return False


def _show_arp(pc: "VirtualPC", argv: list[str]) -> None:
    known = list(pc.host.four.neighbours.current(pc.now)) if _of_this_pc(pc, argv) else []
    for packed, mac, left in known:
        pc.print(f"{mac_text(mac)}  {text(packed)} expires in {int(left)} seconds \n")
    if not known and not (len(argv) == 3 and not is_number(argv[2]) and not "all".startswith(argv[2])):
        pc.print("arp table is empty\n")


def _show_mtu6(pc: "VirtualPC", argv: list[str]) -> None:
    if not _of_this_pc(pc, argv):
        return
    known = [(at, mtu, came) for at, (mtu, came) in pc.host.six.path_mtus.items() if came + SECONDS > pc.now]
    for packed, mtu, came in known:
        pc.print(f"{mtu:5d}\t{int(came + SECONDS - pc.now):3d}\t{text(packed)}/64\n")
    if not known:
        pc.print("IPV6 MTU table is empty\n")


def _show_echo(pc: "VirtualPC", _: list[str]) -> None:
    pc.print(f"\nEcho \x1b[1m{'On' if pc.echoes else 'Off'}\x1b[0m\n")
    pc.print("Foreground color: default\nBackground color: default\n")


def neighbor(pc: "VirtualPC", _: list[str]) -> None:
    """Print the neighbours that IPv6 knows."""
    pc.print("\n")
    for packed, mac, _left in pc.host.six.neighbours.current(pc.now):
        pc.print(f"{mac_text(mac)}   {text(packed)}/128\n")


def version(pc: "VirtualPC", _: list[str]) -> None:
    """Print what this is."""
    pc.print(pc.banner)


def history(pc: "VirtualPC", _: list[str]) -> None:
    """Print the lines that were typed."""
    for line in pc.history:
        pc.print(f"{line.decode('latin-1')}\n")


WHAT = {
    "arp": _show_arp,
    "dump": lambda pc, _: pc.print("\ndump flags: (none)\n"),
    "ip": _show_ip,
    "ipv6": _show_ipv6,
    "mtu6": _show_mtu6,
    "echo": _show_echo,
    "version": version,
    "history": history,
}
