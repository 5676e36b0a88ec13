"""A connection in memory, for tests of protocols."""

import asyncio
from collections.abc import Callable
from typing import Any

OFFER = b"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x03"


class Line(asyncio.Transport):
    """A transport in memory: what the server sent, and whether it still reads."""

    def __init__(self) -> None:
        super().__init__({"socket": self})
        self.sent = b""
        self.closing = False
        self.reading = True

    def setsockopt(self, *_: int) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)
