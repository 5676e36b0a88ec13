"""``ip``: the addresses of the PC, set by hand, by DHCP or by routers."""

from typing import TYPE_CHECKING

from labplane_pc import ipv4, ipv6
from labplane_pc.commands.lease import run_dhcp
from labplane_pc.commands.resolve import duplicate
from labplane_pc.ethernet import mac_text
from labplane_pc.help_pages import page
from labplane_pc.host import MTU
from labplane_pc.tasks import Learnt, Task, Wait
from labplane_pc.words import address, address6, as_number, is_number, mask, number, text

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

USUAL_PREFIX = 24
USUAL_PREFIX6 = 64
ROUTER_SECONDS = 1.0
LONGEST_DOMAIN = 63
NUMBERS = {mask(length): length for length in range(33)}


def ip(pc: "VirtualPC", argv: list[str]) -> Task:
    """Set addresses, DNS servers and the domain."""
    if len(argv) < 2 or argv[1:] == ["?"]:
        pc.print(page("ip"))
        return
    word = argv[1]
    if ":" in word:
        _set6(pc, argv)
    elif "dhcp".startswith(word):
        yield from run_dhcp(pc, argv)
    elif "auto".startswith(word):
        yield from _auto(pc)
    elif "domain".startswith(word):
        _set_domain(pc, argv)
    elif "dns".startswith(word):
        _set_dns(pc, argv)
    elif word == "dns6":
        _set_dns6(pc, argv)
    else:
        yield from _set(pc, argv)


def _set(pc: "VirtualPC", argv: list[str]) -> Task:
    found = _addresses(pc, argv)
    if found is None:
        return
    new, gateway, length = found
    four = pc.host.four
    pc.print("Checking for duplicate address...\n")
    other = yield from duplicate(pc, new)
    if other is not None:
        pc.print(f"{text(new)} is being used by MAC {mac_text(other)}\nAddress not changed\n")
        four.neighbours.clear()
        four.address, four.gateway, four.prefix = ipv4.ANY, ipv4.ANY, 0
        return
    pc.lease.forget()
    four.address, four.gateway, four.prefix = new, gateway, length
    pc.host.mtu = MTU
    four.announce()
    behind = f" gateway {text(gateway)}" if gateway != ipv4.ANY else ""
    pc.print(f"{pc.name} : {text(new)} {text(mask(length).to_bytes(4, 'big'))}{behind}\n")


def _addresses(pc: "VirtualPC", argv: list[str]) -> tuple[bytes, bytes, int] | None:
    """The address, gateway and prefix length of a command line; None, with a word, when they cannot be."""
    new, gateway, length, is_bad = address(argv[1]), ipv4.ANY, USUAL_PREFIX, False
    for word in argv[2:]:
        if is_number(word) and len(word) < 3:
            length = int(word)
        elif len(word) > 8 and word.startswith("255."):
            given = address(word)
            length = NUMBERS.get(as_number(given), length) if given is not None else length
        elif 6 < len(word) < 16:
            given = address(word)
            is_bad = is_bad or given is None
            gateway = given or ipv4.ANY
        else:
            pc.print("Invalid options\n")
            return None
    if not 1 <= length <= 30:
        length = USUAL_PREFIX
    if new is None or is_bad or new == gateway or not ipv4.is_unicast(new):
        pc.print("Invalid address\n")
    elif _is_no_host(new, length):
        pc.print("Invalid host address\n")
    elif gateway != ipv4.ANY and _is_no_host(gateway, length):
        pc.print("Invalid gateway address\n")
    elif gateway != ipv4.ANY and (as_number(new) ^ as_number(gateway)) & mask(length):
        pc.print("not same subnet\n")
    else:
        return new, gateway, length
    return None


def _is_no_host(packed: bytes, length: int) -> bool:
    """Whether an address is that of its network or the broadcast address in it."""
    return as_number(packed) & ~mask(length) & 0xFFFFFFFF in (0, ~mask(length) & 0xFFFFFFFF)


def _set6(pc: "VirtualPC", argv: list[str]) -> None:
    six = pc.host.six
    if len(argv) > 4:
        pc.print("Invalid.\n")
        return
    rest = [word.lower() for word in argv[2:]]
    eui64 = any(word in ("eui-64", "eui64") for word in rest)
    length = number(rest[0]) if rest and rest[0] not in ("eui-64", "eui64") else 0
    new = address6(argv[1])
    if new is None or length > 128 or length < 0 or new[0] == 0xFF:
        pc.print("Invalid ipv6 address.\n")
        return
    if eui64:
        new = ipv6.from_prefix(new, pc.host.mac)
    six.address, six.prefix, six.eui64 = new, length or USUAL_PREFIX6, eui64
    pc.print(f"PC1 : {text(new)}/{six.prefix} {'eui-64' if eui64 else ''}\n")
    if new != ipv6.ANY:
        six.detect_duplicates(new, pc.now)


def _auto(pc: "VirtualPC") -> Task:
    six = pc.host.six
    six.automatic = True
    six.solicit_routers()
    if six.address == ipv6.ANY:
        yield Wait(ROUTER_SECONDS, lambda event: isinstance(event, Learnt) and event.address == six.address)
    if six.address == ipv6.ANY:
        pc.print("No router answered ICMPv6 Router Solicitation\n")
    else:
        pc.print(f"GLOBAL SCOPE      : {text(six.address)}/{six.prefix}\n")
        pc.print(f"ROUTER LINK-LAYER : {mac_text(six.router_mac)}\n")


def _set_domain(pc: "VirtualPC", argv: list[str]) -> None:
    if len(argv) != 3:
        pc.print("Incomplete command.\n")
    elif len(argv[2]) > LONGEST_DOMAIN or ".." in argv[2]:
        pc.print("Invalid domain name.\n")
    else:
        pc.host.four.domain = argv[2].lstrip(".").removesuffix(".")


def _set_dns(pc: "VirtualPC", argv: list[str]) -> None:
    for place, word in enumerate(argv[2:4] if len(argv) < 5 else ()):
        if word == "0":
            pc.host.four.dns[place] = ipv4.ANY
            return
        server = address(word)
        if server is None or not any(server):
            pc.print("Invalid address\n" if len(argv) == 3 else f"Invalid address: {word}\n")
            return
        pc.host.four.dns[place] = server


def _set_dns6(pc: "VirtualPC", argv: list[str]) -> None:
    for place, word in enumerate(argv[2:4] if len(argv) < 5 else ()):
        if word == "0":
            pc.host.six.dns[place] = ipv6.ANY
            return
        server = address6(word)
        if server is None:
            pc.print(f"Invalid address: {word}\n")
            return
        pc.host.six.dns[place] = server
