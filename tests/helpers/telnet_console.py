"""A console with its telnet listener, for tests that look at both."""

from collections.abc import Callable
from typing import Any

from labplane.consoles.console import Console
from labplane.consoles.listener import Listener


class TelnetConsole(Console):
    """A console and its listener, which are ended together as a session does it."""

    def __init__(self, write: Callable[[bytes], None], **options: Any) -> None:
        super().__init__(write, **options)
        self.listener = Listener(self)
        self.listen = self.listener.listen
        self.moved = self.listener.moved

    @property
    def address(self) -> tuple[str, int] | None:
        return self.listener.address

    async def end(self) -> None:
        await self.listener.close()
        self.close()
