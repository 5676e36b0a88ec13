"""Command lines cut into words, and words taken for addresses and numbers, as VPCS takes them."""

import re
import socket
from struct import unpack

SEPARATORS = "=/ \t"
MOST_WORDS = 20


def words(line: str) -> list[str]:
    """The words of a command line: ``=``, ``/``, spaces and tabs stand between them, quotes keep one together."""
    found: list[str] = []
    at = 0
    while at < len(line) and len(found) < MOST_WORDS:
        if line[at] == '"':
            end = line.find('"', at + 1)
            if end < 0:
                break
            if end > at + 1:
                found.append(line[at + 1 : end])
            at = end + 1
            continue
        end = next((place for place in range(at, len(line)) if line[place] in SEPARATORS), len(line))
        if end > at:
            found.append(line[at:end])
        at = end + 1
    return found


def is_number(word: str) -> bool:
    """Whether `word` is digits only."""
    return word.isascii() and word.isdigit()


def number(word: str) -> int:
    """The number at the beginning of `word`, 0 when there is none, as C's atoi."""
    found = re.match(r"\s*([+-]?\d{1,18})", word, re.ASCII)
    return int(found[1]) if found else 0


def address(word: str) -> bytes | None:
    """The IPv4 address that `word` is, in any form that inet_aton takes; None for none and for 255.255.255.255."""
    try:
        packed = socket.inet_aton(word)
    except (OSError, UnicodeEncodeError):
        return None
    return None if packed == b"\xff" * 4 or " " in word else packed


def address6(word: str) -> bytes | None:
    """The IPv6 address that `word` is."""
    try:
        return socket.inet_pton(socket.AF_INET6, word)
    except (OSError, UnicodeEncodeError):
        return None


def text(packed: bytes) -> str:
    """An address of either version as people write it."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def mask(length: int) -> int:
    """The network mask of that length, as a number."""
    return 0xFFFFFFFF << (32 - length) & 0xFFFFFFFF


def as_number(packed: bytes) -> int:
    """An IPv4 address as a number."""
    (value,) = unpack("!I", packed)
    return int(value)
