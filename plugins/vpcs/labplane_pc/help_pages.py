"""The help pages, read when somebody asks for one."""

import re
from functools import cache
from pathlib import Path

BOLD = re.compile(r"\{([^}]*)\}")
UNDERLINED = re.compile(r"~([^~]*)~")
MARK = "=== "


@cache
def _pages() -> dict[str, str]:
    text = Path(__file__).with_name("help_pages.txt").read_text(encoding="utf-8")
    pages = (part.partition("\n") for part in text.split(f"\n{MARK}")[1:])
    return {name: f"\n{page.rstrip()}\n" for name, _, page in pages}


def page(name: str) -> str:
    """The page about a command; that of an empty name lists them all."""
    marked = _pages()[name].replace("^", "\r")
    return UNDERLINED.sub("\x1b[4m\\1\x1b[0m", BOLD.sub("\x1b[1m\\1\x1b[0m", marked))


def page_about(argv: list[str]) -> str | None:
    """The page that a command line which ends with ``?`` asks for; None when its command has none."""
    command, rest = argv[0], argv[1:-1]
    if command in ("?", "help"):
        return page("help ?" if command == "?" else "help")
    if command in ("dhcp", "arp"):
        return page("ip dhcp" if command == "dhcp" else "show arp")
    command = {"tracer": "trace", "zzz": "sleep"}.get(command, command)
    if len(rest) == 1:
        for topic in TOPICS.get(command, ()):
            if topic.startswith(rest[0]):
                return page(f"{command} {topic.removesuffix('6') if topic == 'dns6' else topic}")
    return page(command) if command in _pages() else None


TOPICS = {
    "ip": ("dhcp", "dns", "dns6", "domain"),
    "set": ("dump", "echo", "mtu"),
    "show": ("arp", "dump", "ip", "ipv6", "mtu6"),
}
