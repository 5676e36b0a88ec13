"""The keys on which a terminal itself acts, instead of passing them to its program."""

import functools
import os
import termios
import tty
from collections.abc import Collection
from typing import Any

FLOW = {"start", "stop"}
NONE = b"\0"  # _POSIX_VDISABLE of Linux: no key
CHANGES_INPUT = termios.IXON | termios.IXOFF | termios.IXANY | termios.ISTRIP | termios.INLCR | termios.IGNCR

# By their names in `man 1 stty`.
KEYS = {
    "intr": termios.VINTR,
    "quit": termios.VQUIT,
    "susp": termios.VSUSP,
    "start": termios.VSTART,
    "stop": termios.VSTOP,
    "eof": termios.VEOF,
    "erase": termios.VERASE,
    "werase": termios.VWERASE,
    "kill": termios.VKILL,
    "rprnt": termios.VREPRINT,
    "lnext": termios.VLNEXT,
    "discard": termios.VDISCARD,
    "eol": termios.VEOL,
    "eol2": termios.VEOL2,
    "swtch": termios.VSWTC,
}


@functools.cache
def modes(keys: frozenset[str] | None) -> list[Any]:
    """The modes of a terminal that acts on `keys` alone, as tcsetattr takes them, in JSON types. See `act_only_on`.

    With None it is raw: it passes on whatever comes, both ways, and echoes nothing; also when the program has its
    output processed, as QEMU does, since nothing is left to be done then.
    """
    master, slave = os.openpty()
    try:
        if keys is None:
            tty.setraw(slave)
            raw = termios.tcgetattr(slave)
            raw[1] = 0
            termios.tcsetattr(slave, termios.TCSANOW, raw)
        else:
            act_only_on(keys, slave)
        *flags, characters = termios.tcgetattr(slave)
    finally:
        os.close(master)
        os.close(slave)
    return [*flags, [one if isinstance(one, int) else one[0] for one in characters]]


def act_only_on(keys: Collection[str], terminal: int) -> None:
    """Let `terminal`, a descriptor of a new pty, act on `keys` alone; all other bytes reach the program.

    keys: names of `KEYS`. Raises ValueError for any other.

    Enter stays what it is: a program that reads lines gets its carriage return as a newline.
    """
    if unknown := sorted(set(keys) - set(KEYS)):
        raise ValueError(f"{unknown[0]!r} is no key of a terminal; there are {', '.join(KEYS)}")
    modes = termios.tcgetattr(terminal)
    modes[0] &= ~CHANGES_INPUT
    if FLOW & set(keys):
        modes[0] |= termios.IXON
    for name, index in KEYS.items():
        if name not in keys:
            modes[6][index] = NONE
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
