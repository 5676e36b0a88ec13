"""The rest: help, waiting, the end, and what the built-in engine leaves out."""

from typing import TYPE_CHECKING

from labplane_pc.help_pages import page
from labplane_pc.tasks import Keys, Task, Wait
from labplane_pc.words import is_number

if TYPE_CHECKING:
    from labplane_pc.pc import VirtualPC

A_LONG_TIME = 10.0 * 365 * 86400
LONGEST_SLEEP = 9  # digits
NO_RELAY = "relay is not in the built-in engine; link the machines themselves, with the API of labplane.\n"
NO_RLOGIN = "rlogin is not in the built-in engine; open the console of the other machine instead.\n"


def help_(pc: "VirtualPC", _: list[str]) -> None:
    """List the commands."""
    pc.print(page(""))


def sleep(pc: "VirtualPC", argv: list[str]) -> Task:
    """Print a text and wait for a time, or for a key."""
    seconds = 0
    rest = argv[1:]
    if rest and is_number(rest[0]):
        seconds = int(rest[0][:LONGEST_SLEEP])
        rest = rest[1:]
    if len(argv) != 1:
        pc.print("".join(f"{word} " for word in rest) + "\n")
    if seconds:
        yield Wait(seconds)
        return
    if len(argv) == 1:
        pc.print("Press any key to continue\n")
    yield Wait(A_LONG_TIME, lambda event: isinstance(event, Keys))


def disconnect(pc: "VirtualPC", _: list[str]) -> None:
    """Tell the console that its viewer wants to leave."""
    pc.print("NOT daemon mode\n")


def quit_(pc: "VirtualPC", _: list[str]) -> None:
    """End the PC."""
    pc.print("\n")
    pc.end(0)


def relay(pc: "VirtualPC", _: list[str]) -> None:
    """Say what there is instead."""
    pc.print(NO_RELAY)


def rlogin(pc: "VirtualPC", _: list[str]) -> None:
    """Say what there is instead."""
    pc.print(NO_RLOGIN)
