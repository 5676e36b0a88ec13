"""Guests that boot: a VM is ready once the prompt of its guest is printed."""

import re
from typing import TYPE_CHECKING

from labplane.consoles.console import Console

if TYPE_CHECKING:
    from labplane.machines.vm import VM

LONGEST_PROMPT = 256


def until_prompt(vm: "VM", console: Console, prompt: bytes) -> None:
    """Watch `console` until its output ends with `prompt`, a pattern; then `vm` is ready."""
    console.attach(_Watcher(vm, console, prompt))


class _Watcher:
    """A viewer of the console of a VM that waits for the prompt, and then leaves."""

    def __init__(self, vm: "VM", console: Console, prompt: bytes) -> None:
        self._vm = vm
        self._console = console
        self._prompt = re.compile(b"(?:%b)\\Z" % prompt)
        self._end = b""

    def send(self, data: bytes) -> None:
        self._end = (self._end + data)[-LONGEST_PROMPT:]
        if self._prompt.search(self._end):
            self._vm.ready = True
            self._console.detach(self)

    def hang_up(self) -> None:
        self._console.detach(self)
